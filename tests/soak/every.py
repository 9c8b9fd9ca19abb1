"""Every fruit explained: 280 a minute, two workers, on the two cores that the live path runs on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.soak.measure import Disturbance, Plan, measure
from tests.support.running import RunningAgent

WORKERS = 2
# All that every explanation has; regions at 100 %, no periodic study, whose hundreds of passes would
# cost the next fruit theirs.
CONFIG = f"""
cameras: [{{name: cam1, source: 'sim:?rate=280&seed=14'}}]
sampling: {{duty_cycle: 1.0, cooldown_s: 0.0, period_s: 0.05, max_age_s: 10.0}}
ablation:
  fractions: [1.0]
  study_every: 0
  workers: {{count: {WORKERS}}}
"""
SHARE = 0.99
"""Of the fruit: what is on its way at the beginning and at the end is not counted twice."""


@dataclass(slots=True)
class Counts(Disturbance):
    """Fruit and whole explanations from the moment on at which all workers are ready."""

    fruit: int = 0
    exact: int = 0
    shorter: int = 0
    _agent: RunningAgent | None = None

    def begin(self, agent: RunningAgent) -> None:
        agent.wait(lambda: agent.status()["workers"]["ready"] == WORKERS, 120, "all workers ready")
        self._agent = agent
        self.fruit, self.exact, self.shorter = (-count for count in self._read())

    def end(self) -> None:
        fruit, exact, shorter = self._read()
        self.fruit, self.exact = self.fruit + fruit, self.exact + exact
        self.shorter += shorter

    def _read(self) -> tuple[int, int, int]:
        assert self._agent is not None
        done = int(self._agent.total("pitwatch_jobs_completed_total"))
        exact = int(self._agent.total("pitwatch_jobs_completed_total", rung="exact"))
        return int(self._agent.total("pitwatch_fruit_total")), exact, done - exact


def every(folder: Path, seconds: float) -> tuple[list[str], list[str]]:
    """Run, and return the table's lines and the bars that were missed."""
    counts = Counts()
    run = measure(folder, Plan(CONFIG, seconds, warm_up_s=0.0), counts)
    share = counts.exact / max(1, counts.fruit)
    lines = [
        f"Every fruit explained, {seconds / 60:.0f} min of real time, 280 cups a minute, "
        f"{WORKERS} workers of one thread",
        "",
        "| what | value |",
        "|---|---|",
        f"| whole explanations of fruit | {counts.exact} of {counts.fruit} = {share:.1%} |",
        f"| shortened ones | {counts.shorter} |",
        f"| seconds an explanation | {run.explanation_s:.3f} |",
        f"| capture to mask, ms: median, 95 % | {run.quantile(0.5):.0f}, {run.quantile(0.95):.0f} |",
        f"| frames dropped by the live path | {run.books['dropped']} of {run.books['captured']} |",
        "",
    ]
    checks = {
        f"{SHARE:.0%} of the fruit explained": share >= SHARE,
        "none shortened": counts.shorter == 0,
        "no frame dropped": run.books["dropped"] == 0,
        "exit code 0": run.exit_code == 0,
    }
    return lines, [name for name, met in checks.items() if not met]
