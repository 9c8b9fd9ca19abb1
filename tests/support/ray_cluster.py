"""A Ray cluster on loopback for tests: one machine's worth, with nothing beside what it needs."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.support import free_port

ROOT = Path(__file__).parents[2]
STORE_BYTES = 80_000_000
"""The least that Ray takes, and a little."""
START_S = 300.0
"""On a machine that does much else."""
TRIES = 3
"""Ray itself gives a start up after 30 s, whatever the machine does."""


def require_ray() -> None:
    """Skip where Ray is not installed, or fail where CI promises that it is."""
    if importlib.util.find_spec("ray") is None:
        if os.environ.get("PITWATCH_REQUIRE_TOOLS") == "1":
            pytest.fail("needs ray, which is not installed")
        pytest.skip("needs ray: pip install 'pitwatch[ray]'")


@dataclass
class RayCluster:
    """One head with its raylet. ``folder`` is a short path: Ray's sockets lie in it; ``nice`` is of
    all its processes; ``prefix``: words before its command."""

    cpus: float = 4
    nice: int = 0
    prefix: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="pwr", dir="/tmp")))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        for _ in range(TRIES):
            said = self._ray(
                "start",
                "--head",
                "--node-ip-address=127.0.0.1",
                f"--port={self.port}",
                f"--temp-dir={self.folder}",
                f"--num-cpus={self.cpus:g}",
                "--num-gpus=0",
                f"--object-store-memory={STORE_BYTES}",
                "--include-dashboard=false",
                "--include-log-monitor=false",
                "--no-monitor",
                "--disable-usage-stats",
            )
            if said is None:
                return
            self._end()
        pytest.fail(f"no Ray cluster: {said}")

    def processes(self, name: str = "") -> list[psutil.Process]:
        """Processes of this cluster, those whose command line holds ``name``."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                mine = str(self.folder) in line or self._environ_of(process)
                if mine and name in line and process.pid != os.getpid():
                    found.append(process)
        return found

    def restart(self) -> None:
        """Start it again at the same address, whatever was left of it."""
        self._end()
        self.start()

    def stop(self) -> None:
        """End all of it, however it is, and remove what it wrote."""
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self) -> None:
        end = time.monotonic() + 20.0
        while (left := self.processes()) and time.monotonic() < end:
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
            psutil.wait_procs(left, timeout=0.5)

    def _environ_of(self, process: psutil.Process) -> bool:
        """Workers of Ray give themselves other names."""
        return process.environ().get("PITWATCH_TEST_CLUSTER") == str(self.folder)

    def _ray(self, *words: str) -> str | None:
        """Run a command of Ray; what it said where it failed."""
        environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_register_timeout_seconds": str(round(START_S)),
            "PITWATCH_TEST_CLUSTER": str(self.folder),
            **self.environ,
        }
        done = subprocess.run(
            [*self.prefix, "nice", "-n", str(self.nice), sys.executable,
             "-m", "ray.scripts.scripts", *words],
            env=environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )  # fmt: skip
        return None if done.returncode == 0 else done.stdout + done.stderr


@contextmanager
def ray_cluster(**settings: object) -> Iterator[RayCluster]:
    """A running cluster that is gone afterwards, with its folder."""
    require_ray()
    cluster = RayCluster(**settings)  # type: ignore[arg-type]
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
