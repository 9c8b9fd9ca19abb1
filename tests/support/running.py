"""The real command in a real process, and what can be seen of it from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.support import free_port, wait_until
from tests.support.forked import TEMPLATE_NAME, ForkedProcess, fork_pitwatch

START_S = 60.0
ASK_S = 0.1
"""To ask an agent costs it time: no more often than this."""

# Workers of the default priority get nothing from a machine that is busy with other things. A test
# that waits for an explanation waits for the code, not for the machine.
PROMPT_WORKERS = "ablation: {workers: {priority: normal}}\n"


@dataclass(frozen=True, slots=True)
class Books:
    """captured = segmented + dropped + in flight, of one camera, as /metrics tells it."""

    captured: int
    segmented: int
    dropped: int

    @property
    def in_flight(self) -> int:
        return self.captured - self.segmented - self.dropped


class RunningAgent:
    """``pitwatch run ...`` with its log in a file; ``http``: on a port that is free here, or as
    its configuration says; ``forked``: without the seconds that its imports take; ``own_session``:
    without a terminal, as a service manager starts it."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        http: bool = True,
        environment: Mapping[str, str] | None = None,
        forked: bool = False,
        own_session: bool = False,
    ) -> None:
        self.port = free_port()
        self.log_path = folder / f"agent-{self.port}.log"
        self.process: subprocess.Popen[bytes] | ForkedProcess
        site = ("--http", f"127.0.0.1:{self.port}") if http else ()
        command = ("run", "--plain", *site, *arguments)
        with self.log_path.open("wb") as log:
            if forked:
                self.process = fork_pitwatch(command, log.fileno(), log.fileno())
                return
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agent", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
                start_new_session=own_session,
            )

    # --- what it says ----------------------------------------------------------------------------

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, str]]:
        """The fields of every log line of one event; values with spaces keep their quotes."""
        lines = (line for line in self.log.splitlines() if f" event={name} " in line)
        return [dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line)) for line in lines]

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of one GET; 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return int(answer.status), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def post(self, path: str, body: bytes) -> int:
        """Status of one POST."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def status(self) -> dict[str, Any]:
        """``/api/v1/status``."""
        code, body = self.get("/api/v1/status")
        assert code == 200, (code, body, self.log[-2000:])
        view = json.loads(body)
        assert isinstance(view, dict)
        return view

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample of ``/metrics``."""
        _, body = self.get("/metrics")
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }

    def total(self, name: str, **labels: str) -> float:
        """Sum of a metric over all series that carry ``labels``."""
        wanted = set(labels.items())
        return sum(v for (n, have), v in self.samples().items() if n == name and wanted <= have)

    def books(self, camera: str) -> Books:
        """The books of one camera, from one scrape."""
        samples = self.samples()

        def total(name: str) -> int:
            label = ("camera", camera)
            return int(sum(v for (n, have), v in samples.items() if n == name and label in have))

        return Books(
            captured=total("pitwatch_frames_captured_total"),
            segmented=total("pitwatch_frames_segmented_total"),
            dropped=total("pitwatch_frames_dropped_total"),
        )

    def final_books(self) -> dict[str, dict[str, int]]:
        """What the agent logged as its last word, per camera."""
        numbers = ("captured", "segmented", "dropped", "in_flight", "fruit", "no_read")
        return {e["camera"]: {n: int(e[n]) for n in numbers} for e in self.events("books")}

    def job_books(self) -> dict[str, int]:
        """What the agent logged of explanations as its last word."""
        return self._numbers("job_books", ("selected", "completed", "dropped", "in_flight"))

    def message_books(self) -> dict[str, int]:
        """What the agent logged of messages as its last word."""
        return self._numbers("message_books", ("enqueued", "delivered", "dropped", "in_flight"))

    def _numbers(self, event: str, names: tuple[str, ...]) -> dict[str, int]:
        (last,) = self.events(event)
        return {name: int(last[name]) for name in names}

    # --- its processes ---------------------------------------------------------------------------

    def children(self, kind: str = "") -> list[psutil.Process]:
        """Children by kind: their process name begins with it; all of them without one."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                name = child.name()
                if name == TEMPLATE_NAME or child.status() == psutil.STATUS_ZOMBIE:
                    continue
                if name.startswith(kind):
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        return found

    # --- its life --------------------------------------------------------------------------------

    def wait_ready(self, timeout_s: float = START_S) -> None:
        """Until ``/readyz`` says yes."""
        self.wait(lambda: self.get("/readyz")[0] == 200, timeout_s, "ready")

    def wait(self, condition: Any, timeout_s: float, what: str) -> None:
        """As ``wait_until``, failing early with the log when the process ends."""

        def check() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"ended {self.process.returncode}: {self.log[-3000:]}")
            return bool(condition())

        try:
            wait_until(check, timeout_s, what, every_s=ASK_S)
        except BaseException:
            sys.stderr.write(self.log[-3000:])
            raise

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 30.0) -> tuple[int, float]:
        """Send a signal; the exit code and the seconds it took."""
        started = time.monotonic()
        self.process.send_signal(number)
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            sys.stderr.write(self.log[-3000:])
            raise
        return code, time.monotonic() - started

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


def forked_agent(
    folder: Path, *arguments: str, http: bool = True
) -> AbstractContextManager[RunningAgent]:
    """As ``running_agent``, without the seconds that its imports and its children's take."""
    return running_agent(folder, *arguments, http=http, forked=True)


@contextmanager
def running_agent(
    folder: Path, *arguments: str, http: bool = True, forked: bool = False
) -> Iterator[RunningAgent]:
    """Run the agent for the length of a ``with`` block; killed at its end if still there."""
    agent = RunningAgent(folder, *arguments, http=http, forked=forked)
    try:
        yield agent
    finally:
        agent.close()
