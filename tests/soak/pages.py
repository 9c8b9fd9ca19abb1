"""The live path does not feel who looks: no page, one, ten, in turns, medians; and no server."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.soak.idle_page import idle_page, own_processes, used_s
from tests.soak.measure import FRUIT, latencies_ms
from tests.support.mosquitto import Observer, mosquitto
from tests.support.running import RunningAgent, running_agent

CONFIG = "cameras: [{name: cam1, source: 'sim:?rate=280&seed=12'}]\n"
COUNTS = (0, 1, 10)
WARM_UP_S = 20.0
SETTLE_S = 3.0
"""After pages came or went; not counted."""
TEN_LIMIT = 1.1
ONE_CORES = 0.10
LEAST_ANSWERED = 0.7
"""Statuses a second that each page must get, for the ten to count as ten; one a second is asked."""


class Pages:
    """So many pages open; afterwards ``cores`` is what the agent's own process and its HTTP server
    used, ``answered`` the statuses that each page got a second."""

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
        self._processes = own_processes(agent)
        self._began = used_s(self._processes), time.monotonic()

    def end(self) -> None:
        used, at = self._began
        self.cores = (used_s(self._processes) - used) / (time.monotonic() - at)
        if self._viewers:
            self._viewers.kill()
            self._viewers.wait()
            self._got.seek(0)
            lines = len(self._got.read().splitlines())
            self.answered = lines / self._count / (time.monotonic() - at)
            self._got.close()


def in_turns(folder: Path, rounds: int, seconds: float) -> Iterator[tuple[int, list[float], Pages]]:
    """One agent; so many pages, capture to mask of every fruit in ms, and what they took.

    Pages come and go while one agent runs: two starts of it differ by more than ten pages cost.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pause = threading.Event()
    with mosquitto(folder) as broker, Observer(broker.port) as seen:
        file = folder / "pages.yaml"
        file.write_text(f"{CONFIG}mqtt: {{broker: '{broker.url}'}}\n")
        with running_agent(folder, "--config", str(file)) as agent:
            agent.wait_ready()
            pause.wait(WARM_UP_S)
            for turn in range(rounds):
                start = turn % len(COUNTS)
                for count in (*COUNTS[start:], *COUNTS[:start]):
                    opened = Pages(count)
                    opened.begin(agent)
                    try:
                        pause.wait(SETTLE_S)
                        first = len(seen.all(FRUIT))
                        pause.wait(seconds)
                        latency_ms = latencies_ms(seen, first)
                    finally:
                        opened.end()
                    yield count, latency_ms, opened


def pages(folder: Path, rounds: int, seconds: float) -> tuple[list[str], list[str]]:
    """Run, and return the table's lines and the bars that were missed."""
    p95: dict[int, list[float]] = {count: [] for count in COUNTS}
    cores: dict[int, list[float]] = {count: [] for count in COUNTS}
    answered: dict[int, list[float]] = {count: [] for count in COUNTS}
    for count, latency_ms, opened in in_turns(folder / "turns", rounds, seconds):
        p95[count].append(float(np.percentile(latency_ms, 95)))
        cores[count].append(opened.cores)
        answered[count].append(opened.answered)
    latency = {count: statistics.median(values) for count, values in p95.items()}
    load = {count: statistics.median(values) for count, values in cores.items()}
    asked = {count: min(values) for count, values in answered.items()}
    ratio, one = latency[10] / latency[0], load[1] - load[0]
    lines = [
        f"Pages open: capture to mask p95 in ms, {rounds} turns of {seconds:.0f} s "
        "within one run of the agent",
        "",
        "| pages | " + " | ".join(f"turn {i + 1}" for i in range(rounds)) + " | median | cores of the agent | statuses a page and second, least |",
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
