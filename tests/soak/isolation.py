"""The live path does not feel the workers: off, busy and hung, interleaved, medians of p95."""

from __future__ import annotations

import statistics
import threading
from pathlib import Path

import psutil

from tests.soak.measure import Disturbance, Plan, measure
from tests.support.running import RunningAgent

CAMERA = "cameras: [{name: cam1, source: 'sim:?rate=280&seed=12'}]\n"
OFF = CAMERA + "ablation: {workers: {count: 0}}"
BUSY = CAMERA + "sampling: {duty_cycle: 1.0, cooldown_s: 0.0, period_s: 0.05}"
WARM_UP_S = 20.0
BUSY_LIMIT = 1.2
HUNG_LIMIT = 1.1


class Hang(Disturbance):
    """SIGSTOP for every worker, and for every one that replaces it, as soon as it is seen."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, agent: RunningAgent) -> None:
        agent.wait(lambda: agent.status()["workers"]["ready"] > 0, 120, "a worker is ready")
        self._thread = threading.Thread(target=self._hang, args=(agent,))
        self._thread.start()

    def _hang(self, agent: RunningAgent) -> None:
        while not self._stop.wait(0.2):
            for worker in agent.children("worker"):
                try:
                    worker.suspend()
                except psutil.NoSuchProcess:
                    continue

    def end(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()


def isolation(folder: Path, rounds: int, seconds: float) -> tuple[list[str], list[str]]:
    """Run, and return the table's lines and the bars that were missed."""
    cases = {
        "off": (Plan(OFF, seconds, WARM_UP_S), Disturbance),
        "busy": (Plan(BUSY, seconds, WARM_UP_S), Disturbance),
        "hung": (Plan(BUSY, seconds, WARM_UP_S), Hang),
    }
    p95: dict[str, list[float]] = {name: [] for name in cases}
    done: dict[str, int] = dict.fromkeys(cases, 0)
    dropped = 0
    for turn in range(rounds):
        for name, (plan, disturbance) in cases.items():
            run = measure(folder / f"{name}-{turn}", plan, disturbance())
            p95[name].append(run.quantile(0.95))
            done[name] += run.explanations
            dropped += run.books["dropped"]
    middle = {name: statistics.median(values) for name, values in p95.items()}
    busy, hung = middle["busy"] / middle["off"], middle["hung"] / middle["busy"]
    lines = [
        f"Isolation of the live path: capture to mask p95 in ms, {rounds} interleaved runs of {seconds:.0f} s",
        "",
        "| workers | "
        + " | ".join(f"run {i + 1}" for i in range(rounds))
        + " | median | explanations |",
        "|---" * (rounds + 3) + "|",
        *(
            f"| {name} | "
            + " | ".join(f"{v:.1f}" for v in p95[name])
            + f" | {middle[name]:.1f} | {done[name]} |"
            for name in cases
        ),
        "",
        f"busy / off = {busy:.2f} (limit {BUSY_LIMIT}); hung / busy = {hung:.2f} (limit {HUNG_LIMIT}); "
        f"frames dropped in all runs: {dropped}",
        "",
    ]
    checks = {
        f"busy / off <= {BUSY_LIMIT}": busy <= BUSY_LIMIT,
        f"hung / busy <= {HUNG_LIMIT}": hung <= HUNG_LIMIT,
        "no frame dropped": dropped == 0,
        "explanations while busy": done["busy"] > 0,
    }
    return lines, [name for name, met in checks.items() if not met]
