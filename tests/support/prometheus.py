"""A real Prometheus that scrapes one port on loopback, and its HTTP API."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support import free_port, require_tool, wait_until

SCRAPE_S = 0.5
SCRAPE = f"{1000 * SCRAPE_S:.0f}ms"


class Prometheus:
    """A running server; ``query`` asks it, ``wait_for`` asks until there is an answer."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str) -> Any:
        """Return the ``data`` of one API answer."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query: ``metric`` (labels) and ``value``."""
        return list(self.get("query", query=expression)["result"])

    def wait_for(self, expression: str, timeout_s: float = 30.0) -> list[dict[str, Any]]:
        """Query until there is a sample."""
        wait_until(lambda: self.query(expression), timeout_s, f"a sample of {expression}")
        return self.query(expression)

    def ready(self) -> bool:
        """Return whether it answers queries."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def running_prometheus(
    directory: Path,
    target_port: int | None,
    rules: tuple[Path, ...] = (),
    others: Mapping[str, int] | None = None,
) -> Iterator[Prometheus]:
    """Run Prometheus with its data in ``directory``, scraping 127.0.0.1:``target_port``.

    ``others`` are ports by job; with no port at all it knows nothing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    targets = {**({"pitwatch": target_port} if target_port else {}), **(others or {})}
    configuration = directory / "prometheus.yml"
    configuration.write_text(
        json.dumps(  # JSON is YAML
            {
                "global": {
                    "scrape_interval": SCRAPE,
                    "scrape_timeout": SCRAPE,
                    "evaluation_interval": SCRAPE,
                },
                "rule_files": [str(rule) for rule in rules],
                "scrape_configs": [
                    {
                        "job_name": job,
                        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
                    }
                    for job, port in targets.items()
                ],
            }
        )
    )
    with served(configuration, directory) as server:
        yield server


@contextmanager
def served(configuration: Path, directory: Path) -> Iterator[Prometheus]:
    """Run Prometheus with this configuration and its data in ``directory``."""
    require_tool("prometheus")
    own_port = free_port()
    log = directory / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{own_port}",
                "--enable-feature=exemplar-storage",
                "--log.level=warn",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "GOMAXPROCS": "1"},
        )
    server = Prometheus(f"http://127.0.0.1:{own_port}")
    try:
        end = time.monotonic() + 30
        while not server.ready():
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"Prometheus does not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


RunPrometheus = Callable[[int], Prometheus]


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[RunPrometheus]:
    """Return a function that starts a Prometheus scraping the given port until the test ends."""
    running = []

    def start(target_port: int) -> Prometheus:
        context = running_prometheus(tmp_path / f"prometheus-{target_port}", target_port)
        server = context.__enter__()
        running.append(context)
        return server

    yield start
    for context in running:
        context.__exit__(None, None, None)
