"""Ordinary production for half an hour of real time: charts at work against a reference, and nobody
called."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.alarms.charts.budget import CHARTS_A_SIDE
from agent.alarms.charts.reference import load_reference
from agent.alarms.lifecycle.lifecycle import Event
from tests.soak.endurance import RATE_PER_S
from tests.soak.measure import Disturbance, Plan, measure
from tests.support.running import RunningAgent

LINE = "sim:?variety=golden&rate=280&lot={lot}&seed={seed}"
LOT_CUPS = 4200
"""A lot of a quarter of an hour at 280 a minute, as the reference is made of."""
LEARNT_SEED, WATCHED_SEED = 11, 6200

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass(slots=True)
class Charts(Disturbance):
    """What the charts say when the time is up. ``used``: of each chart, its share of its limit;
    ``held``: how often they were held once they had begun; ``transitions``: of alarms."""

    used: dict[str, float] = field(default_factory=dict)
    held: int = 0
    transitions: dict[tuple[str, str], int] = field(default_factory=dict)
    _agent: RunningAgent | None = None

    def begin(self, agent: RunningAgent) -> None:
        self._agent = agent

    def end(self) -> None:
        assert self._agent is not None
        self.held = held_again(self._agent.log)
        self.take(self._agent.samples())

    def take(self, samples: Samples) -> None:
        """Read one scrape."""
        limits = {
            labels: v for (name, labels), v in samples.items() if name.endswith("chart_limit")
        }
        for (name, labels), value in samples.items():
            said = dict(labels)
            if name == "pitwatch_chart_value":
                key = f"{said['signal']} {said['side']} {said['chart']}"
                self.used[key] = value / limits[labels]
            elif name == "pitwatch_alarm_transitions_total" and value:
                alarm = f"{said['alarm']}-{said['camera']}"
                self.transitions[alarm, said["transition"]] = int(value)

    @property
    def raised(self) -> dict[str, int]:
        """Alarms, and how often each was raised."""
        return {
            alarm: count
            for (alarm, event), count in self.transitions.items()
            if event == Event.RAISE.value
        }


def held_again(log: str) -> int:
    """How often charts were held once they had been at work."""
    _, _, after = log.partition(" event=charts_at_work ")
    return after.count(" event=charts_held ")


def ordinary(folder: Path, seconds: float, reference: Path | None) -> tuple[list[str], list[str]]:
    """Calibrate where no ``reference`` is given, run, and return the table's lines and the bars that
    were missed."""
    folder.mkdir(parents=True, exist_ok=True)
    if reference is None:
        reference = folder / "golden.json"
        source = LINE.format(lot=LOT_CUPS, seed=LEARNT_SEED)
        command = [sys.executable, "-m", "agent", "calibrate", "--variety", "golden"]
        subprocess.run([*command, "--source", source, "--out", str(reference)], check=True)
    source = LINE.format(lot=LOT_CUPS, seed=WATCHED_SEED)
    config = f"cameras: [{{name: cam1, source: '{source}'}}]\n"
    config += f"alarms: {{reference: {{golden: '{reference.absolute()}'}}}}\n"
    known = load_reference(reference)
    wanted = CHARTS_A_SIDE * sum(len(signal.sides) for signal in known.signals)
    charts = Charts()
    run = measure(folder, Plan(config, seconds, warm_up_s=0.0), charts)
    books = run.books
    closest = sorted(charts.used.items(), key=lambda each: -each[1])[:3]
    lines = [
        f"Ordinary production, {seconds / 60:.0f} min of real time, 280 cups a minute, a lot of "
        "golden each quarter of an hour",
        "",
        "| what | value |",
        "|---|---|",
        f"| fruit read | {books['fruit'] - books['no_read']} of {books['fruit']} |",
        f"| explanations | {run.explanations} |",
        f"| charts at work, of those of the reference | {len(charts.used)} of {wanted} |",
        "| closest to their limits at the end | "
        + ", ".join(f"{name} at {share:.0%}" for name, share in closest)
        + " |",
        "| alarms raised | "
        + (", ".join(f"{name} {count}" for name, count in charts.raised.items()) or "none")
        + " |",
        "",
    ]
    checks = {
        "exit code 0": run.exit_code == 0,
        "at least 95 % of the expected frames": books["captured"] >= 0.95 * RATE_PER_S * seconds,
        "every chart at work, never held": len(charts.used) == wanted and not charts.held,
        "at least 6 explanations a minute": run.explanations >= 6 * seconds / 60,
        "no alarm raised": not charts.raised,
    }
    return lines, [name for name, met in checks.items() if not met]
