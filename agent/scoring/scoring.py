"""The course of a scoring: record what is missing, learn the tests to beat, replay, judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.scoring.bank import Wanted
from agent.scoring.card import Facts, ScoreCard
from agent.scoring.crew import Alone, Crew
from agent.scoring.errors import ScoringError
from agent.scoring.faults import TrialScore
from agent.scoring.ordinary import FalseAlarms
from agent.scoring.protocol import SHORTCUT, Protocol, Trial
from agent.scoring.work import Part, Population, Record, Runs, Shift, Work

CLAIM_LOTS = 40
CLAIM_RUNS = 59
CLAIM_DAYS = 3000.0
"""What a claim needs: below any of these a scoring is a trial."""


@dataclass(frozen=True, slots=True)
class Told:
    """Where progress goes: cups of which recording, production days replayed, trials scored."""

    planned: Callable[[Sequence[Wanted]], None] = lambda _missing: None
    recorded: Callable[[Wanted, int], None] = lambda _one, _cups: None
    replayed: Callable[[float], None] = lambda _days: None
    scored: Callable[[Trial], None] = lambda _trial: None


@dataclass(slots=True)
class Scoring:
    """One scoring of one model. Faults are planted on the line of the first reference's variety.
    ``faults``: names; none: all. ``hands`` do the parts."""

    work: Work
    hands: Alone | Crew
    faults: tuple[str, ...] = ()
    told: Told = field(default_factory=Told)

    def run(self) -> ScoreCard:
        """Everything; ``ScoringError`` for what cannot be scored."""
        trials, skipped = self._trials()
        self._record(trials)
        protocol, ordinary = self.work.protocol, FalseAlarms()
        populations: dict[int, FalseAlarms] = {}
        shifts: dict[int, Counter[str]] = {}
        scores: dict[str, TrialScore] = {}

        def done(part: Part, result: Any) -> None:
            match part:
                case Population(number):
                    populations[number] = result
                    self.told.replayed(sum(one.days for one in populations.values()))
                case Shift(number):
                    shifts[number] = result
                case Runs(trial):
                    scores[trial.key] = result
                    self.told.scored(trial)

        parts: list[Part] = [Population(number) for number in range(protocol.populations)]
        parts += [Shift(number) for number in range(protocol.shifts)]
        parts += [Runs(trial) for trial in trials]
        self.hands.share(parts, lambda _part, _cups: None, done)
        for number in range(protocol.populations):
            ordinary.add(populations[number])
        return ScoreCard(
            self._facts(),
            protocol,
            tuple(scores[trial.key] for trial in trials),
            ordinary,
            tuple(shifts[number] for number in range(protocol.shifts)),
            skipped,
        )

    def _trials(self) -> tuple[list[Trial], dict[str, str]]:
        """What is scored, and what cannot be; what was asked for by name must be plantable."""
        line = self.work.line
        trials = self.work.protocol.trials(self.faults)
        if line.shortcut is not None or SHORTCUT in self.faults:
            for one in trials:
                line.under(one)  # refused now, not after hours of recording
            return trials, {}
        why = "no weights that learned one were given with --shortcut"
        skipped = {one.name: why for one in trials if one.name == SHORTCUT}
        return [one for one in trials if one.name != SHORTCUT], skipped

    def _record(self, trials: Sequence[Trial]) -> None:
        bank = self.work.bank
        wanted = [one for name in self.work.references for one in bank.lots(name)]
        wanted += [one for trial in trials for one in bank.faults(self.work.variety, trial)]
        # Once each: two processes must not write one file.
        missing = list({one.path: one for one in wanted if not one.path.exists()}.values())
        self.told.planned(missing)

        def told(part: Part, cups: int) -> None:
            if isinstance(part, Record):
                self.told.recorded(part.one, cups)

        def done(part: Part, _result: object) -> None:
            if isinstance(part, Record):
                self.told.recorded(part.one, part.one.cups)

        self.hands.share([Record(one) for one in missing], told, done)

    def _facts(self) -> Facts:
        model, protocol = self.work.line.model, self.work.protocol
        varieties = tuple(self.work.references)
        share = protocol.explained_share
        return Facts(model.name, model.sha256, varieties, share, claim(protocol))


def shortfalls(protocol: Protocol) -> list[str]:
    """In words, what a protocol lacks for a claim; none: it claims."""
    wanted = (
        ("lots", protocol.lots, CLAIM_LOTS),
        ("runs", protocol.runs, CLAIM_RUNS),
        ("days", protocol.days, CLAIM_DAYS),
    )
    return [
        f"{has:g} of {least:g} {name}, {least - has:g} more"
        for name, has, least in wanted
        if has < least
    ]


def claim(protocol: Protocol) -> str:
    """What the numbers may be quoted for."""
    short = shortfalls(protocol)
    if short:
        return f"A trial, which claims nothing: {'; '.join(short)}."
    judging = protocol.lots - protocol.baseline_lots
    return (
        f"Holds for lots like the {judging} of each variety that judged, drawn with replacement; "
        f"{protocol.baseline_lots} others taught the softmax tests."
    )


def check_claim(protocol: Protocol, trial: bool) -> None:
    """``ScoringError`` where a protocol lacks something for a claim and no trial was asked for."""
    short = shortfalls(protocol)
    if short and not trial:
        raise ScoringError(
            f"too few for a claim: {'; '.join(short)} (--trial scores all the same and claims "
            "nothing)"
        )
