"""The score card: what was found, against which bars, as a table, JSON and Markdown."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python
from rich.table import Table

from agent.scoring.errors import ScoringError
from agent.scoring.faults import TrialScore, verdict
from agent.scoring.ordinary import FalseAlarms
from agent.scoring.protocol import Bars, Kind, Protocol
from agent.storage.whole_file import whole_file

MIDDLE = "middle"
COLUMNS = (
    "fault",
    "strength",
    "detected",
    "delay, min",
    "delay, fruit",
    "first alarm",
    "right cause",
    "explanations, min",
    "softmax tests, min",
    "explanations are",
    "bars",
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was scored: the model, the references, and the share of fruit that are explained."""

    model_name: str
    model_sha256: str
    varieties: tuple[str, ...]
    explained_share: float
    claim: str


@dataclass(frozen=True, slots=True)
class ScoreCard:
    """``shifts``: alarms of each shift that was replayed fruit by fruit; ``skipped``: faults that
    could not be planted, and why."""

    facts: Facts
    protocol: Protocol
    trials: tuple[TrialScore, ...]
    ordinary: FalseAlarms
    shifts: tuple[Counter[str], ...]
    skipped: dict[str, str]

    @property
    def false_alarms_met(self) -> bool:
        return self.ordinary.upper_per_30_days() <= self.protocol.bars.false_per_30_days

    def sentences(self) -> list[str]:
        """What the numbers say, beside the table."""
        facts, ordinary, bars = self.facts, self.ordinary, self.protocol.bars
        told = sum((shift.total() for shift in self.shifts), 0)
        shifts = len(self.shifts)
        out = [
            f"Model {facts.model_name} ({facts.model_sha256[:12]}), "
            f"{', '.join(facts.varieties)}; {facts.explained_share:.1%} of the fruit explained.",
            f"False alarms in {ordinary.days:.0f} production days: {ordinary.count}"
            f"{_listed(ordinary.causes)}, {ordinary.per_30_days():.2f} per 30 days, at most "
            f"{ordinary.upper_per_30_days():.2f} (95 %); 95 % of {len(ordinary.by_population)} "
            f"populations of lots have at most {ordinary.populations_upper_per_30_days():.2f}. "
            f"Bar {bars.false_per_30_days:g}: {'met' if self.false_alarms_met else 'MISSED'}.",
            f"The softmax tests on the same days: {ordinary.softmax}, at most "
            f"{ordinary.softmax_upper_per_30_days():.2f} per 30 days.",
        ]
        if shifts:
            out.append(
                f"{shifts} shifts fruit by fruit: {told} alarms, {told / shifts:.2f} a shift"
                f"{_listed(sum(self.shifts, Counter()))}."
            )
        out += [f"Not scored: {name} ({why})." for name, why in self.skipped.items()]
        if not facts.model_sha256.startswith(self.protocol.strengths_model_sha256):
            out.append(
                "The middle strengths were found with another model "
                f"({self.protocol.strengths_model_sha256[:12]})."
            )
        return [*out, facts.claim, _against_softmax(self.trials)]

    def rows(self) -> list[tuple[str, ...]]:
        """The table's text, a row a fault and strength."""
        return [_row(score, self.protocol.bars) for score in self.trials]

    def table(self) -> Table:
        """For a terminal."""
        made = Table(*COLUMNS, title="score card of the alarms")
        for row in self.rows():
            made.add_row(*row)
        return made

    def markdown(self) -> str:
        """As a page."""
        lines = ["# Score card of the alarms", "", *(f"- {line}" for line in self.sentences()), ""]
        lines.append(f"| {' | '.join(COLUMNS)} |")
        lines.append("|" + "---|" * len(COLUMNS))
        lines += [f"| {' | '.join(row)} |" for row in self.rows()]
        return "\n".join(lines) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Every number, and every run; null where there is none."""
        ordinary = self.ordinary
        content = {
            "model": self.facts.model_name,
            "model_sha256": self.facts.model_sha256,
            "varieties": self.facts.varieties,
            "explained_share": self.facts.explained_share,
            "claim": self.facts.claim,
            "protocol": self.protocol,
            "ordinary": {
                "days": ordinary.days,
                "false_alarms": ordinary.causes,
                "per_30_days": ordinary.per_30_days(),
                "upper_per_30_days": ordinary.upper_per_30_days(),
                "populations_upper_per_30_days": ordinary.populations_upper_per_30_days(),
                "softmax_false_alarms": ordinary.softmax,
                "met": self.false_alarms_met,
                "shifts": self.shifts,
            },
            "faults": [_as_json(score, self.protocol.bars) for score in self.trials],
            "skipped": self.skipped,
        }
        return dict(to_jsonable_python(content, inf_nan_mode="null"))

    def write(self, folder: Path) -> tuple[Path, Path]:
        """``score.json`` and ``score.md``; ``ScoringError`` where the disk refuses."""
        make_folder(folder)
        texts = {
            "score.json": json.dumps(self.as_json(), indent=1) + "\n",
            "score.md": self.markdown(),
        }
        for name, text in texts.items():
            path = folder / name
            try:
                with whole_file(path) as file:
                    file.write(text.encode())
            except OSError as error:
                raise ScoringError(f"{path}: cannot be written: {error}") from error
        return folder / "score.json", folder / "score.md"


def make_folder(folder: Path) -> None:
    """A place for the results; ``ScoringError`` where there can be none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScoringError(f"{folder}: cannot be written: {error}") from error


def judged(score: TrialScore) -> bool:
    """Whether bars hold for this strength."""
    return score.trial.label in (MIDDLE, "full")


def misses(score: TrialScore, bars: Bars) -> list[str]:
    """Which bars a fault misses at this strength; the control must be quiet."""
    fault = score.trial.fault
    if not judged(score):
        return []
    if fault.kind is Kind.CONTROL:
        return ["quiet"] if score.detected_share > 1.0 - bars.detected else []
    slowest = bars.gross_delay_min if fault.gross else bars.delay_min
    missed = []
    if score.detected_share < bars.detected:
        missed.append("detected")
    if not score.delay_min <= slowest:
        missed.append("delay")
    if not score.right_share >= bars.right_cause:
        missed.append("cause")
    return missed


def _row(score: TrialScore, bars: Bars) -> tuple[str, ...]:
    trial, runs = score.trial, len(score.runs)
    cause, share = score.first_cause
    missed = misses(score, bars)
    return (
        trial.name + (" (gross)" if trial.fault.gross else ""),
        f"{trial.strength:.3g} ({trial.label})",
        f"{score.detected}/{runs} (≥ {score.detected_lower:.0%})",
        _number(score.delay_min, ".1f"),
        _number(score.delay_fruit, ".0f"),
        f"{cause} {share:.0%}" if cause else "-",
        _number(score.right_share, ".0%"),
        _number(score.explanations_min, ".1f"),
        _number(score.softmax_min, ".1f"),
        score.verdict,
        ("missed: " + ", ".join(missed) if missed else "met") if judged(score) else "",
    )


def _as_json(score: TrialScore, bars: Bars) -> dict[str, Any]:
    cause, share = score.first_cause
    return {
        "fault": score.trial.name,
        "strength": score.trial.strength,
        "label": score.trial.label,
        "gross": score.trial.fault.gross,
        "runs": len(score.runs),
        "detected": score.detected,
        "detected_lower": score.detected_lower,
        "delay_min": score.delay_min,
        "delay_fruit": score.delay_fruit,
        "first_cause": cause,
        "first_cause_share": share,
        "right_share": score.right_share,
        "explanations_min": score.explanations_min,
        "softmax_min": score.softmax_min,
        "explanations_are": score.verdict,
        "missed_bars": misses(score, bars),
        "each": score.runs,
    }


def _against_softmax(trials: Sequence[TrialScore]) -> str:
    """Claims value for explanations only where they are earlier."""
    planted = [one for one in trials if one.trial.fault.kind is not Kind.CONTROL]
    named = {
        word: [f"{one.trial.name} {one.trial.label}" for one in planted if one.verdict == word]
        for word in ("earlier", "later", "no earlier", "neither")
    }
    whole = [
        verdict([run.delay_s for run in one.runs], [run.softmax_s for run in one.runs])
        for one in planted
    ]
    parts = [f"{word} for {len(found)}" for word, found in named.items() if found]
    text = (
        f"Explanations alone against the softmax tests: {'; '.join(parts) or 'nothing scored'}. "
        f"All alarms together are earlier for {whole.count('earlier')} of {len(whole)}."
    )
    behind = named["later"] + named["no earlier"]
    return text + (f" Explanations do not beat the tests on {', '.join(behind)}." if behind else "")


def _listed(causes: Counter[str]) -> str:
    if not causes:
        return ""
    return " (" + ", ".join(f"{name} {count}" for name, count in causes.most_common()) + ")"


def _number(value: float, form: str) -> str:
    if math.isnan(value):
        return "-"
    return "missed" if math.isinf(value) else format(value, form)
