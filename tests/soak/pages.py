"""The live path does not feel who looks: no page, one, ten, and no server; interleaved, medians."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.soak.idle_page import idle_page
from tests.soak.measure import Disturbance, Plan, measure
from tests.support.running import RunningAgent

CONFIG = "cameras: [{name: cam1, source: 'sim:?rate=280&seed=12'}]\n"
COUNTS = (0, 1, 10)
WARM_UP_S = 20.0
TEN_LIMIT = 1.1
ONE_CORES = 0.10
LEAST_ANSWERED = 0.7
"""Statuses a second that each page must get, for the ten to count as ten; one a second is asked."""


class Pages(Disturbance):
    """So many pages open; afterwards ``cores`` is what the agent's own process used, ``answered``
    the statuses that each page got a second."""

    def __init__(self, count: int) -> None:
        self.cores = self.answered = 0.0
        self._count = count
        self._viewers: subprocess.Popen[bytes] | None = None

    def begin(self, agent: RunningAgent) -> None:
        if self._count:
            url = f"http://127.0.0.1:{agent.port}"
            command = [sys.executable, "-m", "tests.soak.viewers", url, str(self._count)]
            self._got = tempfile.TemporaryFile()  # noqa: SIM115 - until end()
            self._viewers = subprocess.Popen(command, stdout=self._got, start_new_session=True)
        self._process = psutil.Process(agent.process.pid)
        self._began = self._used(), time.monotonic()

    def _used(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def end(self) -> None:
        used, at = self._began
        self.cores = (self._used() - used) / (time.monotonic() - at)
        if self._viewers:
            self._viewers.kill()
            self._viewers.wait()
            self._got.seek(0)
            lines = len(self._got.read().splitlines())
            self.answered = lines / self._count / (time.monotonic() - at)
            self._got.close()


def pages(folder: Path, rounds: int, seconds: float) -> tuple[list[str], list[str]]:
    """Run, and return the table's lines and the bars that were missed."""
    p95: dict[int, list[float]] = {count: [] for count in COUNTS}
    cores: dict[int, list[float]] = {count: [] for count in COUNTS}
    answered: dict[int, list[float]] = {count: [] for count in COUNTS}
    for turn in range(rounds):
        for count in COUNTS:
            disturbance = Pages(count)
            run = measure(folder / f"{count}-{turn}", Plan(CONFIG, seconds, WARM_UP_S), disturbance)
            p95[count].append(run.quantile(0.95))
            cores[count].append(disturbance.cores)
            answered[count].append(disturbance.answered)
    latency = {count: statistics.median(values) for count, values in p95.items()}
    load = {count: statistics.median(values) for count, values in cores.items()}
    asked = {count: min(values) for count, values in answered.items()}
    ratio, one = latency[10] / latency[0], load[1] - load[0]
    lines = [
        f"Pages open: capture to mask p95 in ms, {rounds} interleaved runs of {seconds:.0f} s",
        "",
        "| pages | " + " | ".join(f"run {i + 1}" for i in range(rounds)) + " | median | cores of the agent | statuses a page and second, least |",
        "|---" * (rounds + 4) + "|",
        *(
            f"| {count} | " + " | ".join(f"{v:.1f}" for v in p95[count])
            + f" | {latency[count]:.1f} | {load[count]:.2f} | {asked[count]:.2f} |"
            for count in COUNTS
        ),
        "",
        f"ten / none = {ratio:.2f} (limit {TEN_LIMIT}); one page takes {100 * one:.1f} % of a core "
        f"(limit {100 * ONE_CORES:.0f} %)",
        "",
    ]  # fmt: skip
    checks = {f"ten / none <= {TEN_LIMIT}": ratio <= TEN_LIMIT,
              f"one page <= {ONE_CORES} cores": one <= ONE_CORES,
              "ten pages are answered": asked[10] >= LEAST_ANSWERED}  # fmt: skip
    missed = [name for name, met in checks.items() if not met]
    more, idle = idle_page(folder / "idle", CONFIG, rounds, seconds, WARM_UP_S)
    return [*lines, *more], [*missed, *idle]
