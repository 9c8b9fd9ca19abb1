"""The course of a scoring: record what is missing, learn the tests to beat, replay, judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent import config
from agent.alarms.budget import Budget
from agent.alarms.reference import Bound, Reference, ReferenceFileError, load_reference
from agent.models.loaded import LoadedModel
from agent.scoring.bank import Bank, Wanted
from agent.scoring.baseline import Baseline, learn
from agent.scoring.card import Facts, ScoreCard
from agent.scoring.errors import ScoringError
from agent.scoring.faults import Judges, TrialScore, score_trial
from agent.scoring.ordinary import FalseAlarms, prepared, replay_days, replay_shift
from agent.scoring.planting import Line
from agent.scoring.protocol import SHORTCUT, Protocol, Trial
from agent.scoring.recording import Recorder, Recording

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
    """One scoring of one model. ``references`` by variety; faults are planted on the first one's
    line. ``faults``: names; none: all."""

    line: Line
    protocol: Protocol
    references: Mapping[str, Reference]
    folder: Path
    faults: tuple[str, ...] = ()
    told: Told = field(default_factory=Told)

    def run(self) -> ScoreCard:
        """Everything; ``ScoringError`` for what cannot be scored."""
        trials, skipped = self._trials()
        variety = next(iter(self.references))
        bank = Bank(self.folder, self.protocol, Recorder(self.line, self.protocol))
        self._record(bank, variety, trials)
        lots = {name: bank.read(bank.lots(name)) for name in self.references}
        learned = self.protocol.baseline_lots
        baselines = {name: learn(rows[:learned], self._budget) for name, rows in lots.items()}
        judging = {name: rows[learned:] for name, rows in lots.items()}
        ordinary = self._ordinary(judging, baselines)
        alarms = self.line.config.alarms
        judges = Judges(alarms, self.references, baselines[variety])
        shifts = tuple(
            replay_shift(judging, judges, self.protocol, shift)
            for shift in range(self.protocol.shifts)
        )
        scores = tuple(
            self._score(bank, variety, trial, judging[variety], judges) for trial in trials
        )
        return ScoreCard(self._facts(), self.protocol, scores, ordinary, shifts, skipped)

    @property
    def _budget(self) -> Budget:
        asked = self.line.config.alarms.budget
        return Budget(asked.days, asked.hours_a_day, self.protocol.window_s)

    def _trials(self) -> tuple[list[Trial], dict[str, str]]:
        """What is scored, and what cannot be; what was asked for by name must be plantable."""
        trials = self.protocol.trials(self.faults)
        if self.line.shortcut is not None or SHORTCUT in self.faults:
            for one in trials:
                self.line.under(one)  # refused now, not after hours of recording
            return trials, {}
        why = "no weights that learned one were given with --shortcut"
        skipped = {one.name: why for one in trials if one.name == SHORTCUT}
        return [one for one in trials if one.name != SHORTCUT], skipped

    def _record(self, bank: Bank, variety: str, trials: Sequence[Trial]) -> None:
        wanted = [one for name in self.references for one in bank.lots(name)]
        wanted += [one for trial in trials for one in bank.faults(variety, trial)]
        self.told.planned([one for one in wanted if not one.path.exists()])
        bank.record(wanted, self.told.recorded)

    def _ordinary(
        self, lots: Mapping[str, Sequence[Recording]], baselines: Mapping[str, Baseline]
    ) -> FalseAlarms:
        made = {
            name: [prepared(one, self.references[name], baselines[name]) for one in rows]
            for name, rows in lots.items()
        }
        limits = self.line.config.alarms.limits
        return replay_days(
            made, self.references, baselines, self.protocol, limits, self.told.replayed
        )

    def _score(
        self,
        bank: Bank,
        variety: str,
        trial: Trial,
        ordinary: Sequence[Recording],
        judges: Judges,
    ) -> TrialScore:
        faulty = bank.read(bank.faults(variety, trial))
        found = score_trial(trial, ordinary, faulty, judges, self.protocol)
        self.told.scored(trial)
        return found

    def _facts(self) -> Facts:
        model, share = self.line.model, self.protocol.explained_share
        varieties = tuple(self.references)
        return Facts(model.name, model.sha256, varieties, share, claim(self.protocol))


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


def load_references(
    paths: Sequence[Path], settings: config.Config, model: LoadedModel, protocol: Protocol
) -> dict[str, Reference]:
    """By variety, in the order given.

    ``ScoringError`` for a reference of another model, layer, score, input size or window, of a
    variety that the simulator does not have, or a second one of a variety.
    """
    running = Bound(
        model_sha256=model.sha256,
        layer=settings.model.layer or model.layer or "",
        score=settings.ablation.score.value,
        width_px=model.preprocessing.width_px,
        height_px=model.preprocessing.height_px,
    )
    found: dict[str, Reference] = {}
    for path in paths:
        try:
            one = load_reference(path, running=running)
        except ReferenceFileError as error:
            raise ScoringError(str(error)) from error
        if one.window_s != protocol.window_s:
            raise ScoringError(
                f"{path}: was made for windows of {one.window_s:g} s, not {protocol.window_s:g}"
            )
        if one.variety in found:
            raise ScoringError(f"{path}: a second reference of {one.variety}")
        protocol.bank_seed(one.variety, 0)
        found[one.variety] = one
    return found
