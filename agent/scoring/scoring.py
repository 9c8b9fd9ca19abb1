"""The course of a scoring: record what is missing, learn the tests to beat, replay, judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.scoring.bank import Wanted
from agent.scoring.card import Facts, ScoreCard
from agent.scoring.crew import Alone, Crew
from agent.scoring.errors import ScoringError
from agent.scoring.ordinary import FalseAlarms
from agent.scoring.protocol import SHORTCUT, Protocol, Trial
from agent.scoring.work import Part, Population, Record, Runs, Shift, Work

CLAIM_LOTS = 40
CLAIM_RUNS = 59
CLAIM_DAYS = 3000.0
"""What a claim needs: below any of these a scoring is a trial."""


class Told:
    """Where progress goes; whoever shows it overrides."""

    def planned(self, missing: Sequence[Wanted]) -> None:
        """These recordings are to be made."""

    def recorded(self, one: Wanted, cups: int) -> None:
        """So many cups of a recording have passed."""

    def replayed(self, days: float) -> None:
        """So many production days in all."""

    def scored(self, trial: Trial) -> None:
        """A fault at one strength is done."""


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
        populations = [Population(number) for number in range(protocol.populations)]
        shifts = [Shift(number) for number in range(protocol.shifts)]
        runs = [Runs(trial) for trial in trials]
        found: dict[Part, Any] = {}
        days = 0.0
        for part, result in self.hands.share([*populations, *shifts, *runs], lambda *_: None):
            found[part] = result
            if isinstance(part, Population):
                days += result.days
                self.told.replayed(days)
            elif isinstance(part, Runs):
                self.told.scored(part.trial)
        for population in populations:
            ordinary.add(found[population])
        return ScoreCard(
            self._facts(),
            protocol,
            tuple(found[each] for each in runs),
            ordinary,
            tuple(found[shift] for shift in shifts),
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

        records: dict[Part, Wanted] = {Record(one): one for one in missing}
        made = self.hands.share(
            list(records), lambda part, cups: self.told.recorded(records[part], cups)
        )
        for part, _ in made:
            self.told.recorded(records[part], records[part].cups)

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
