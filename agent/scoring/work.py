"""The parts of a scoring. Any process can do one alone, with the same result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import torch

from agent import config
from agent.alarms.charts.budget import Budget
from agent.alarms.charts.reference import Bound, Reference, ReferenceFileError, load_reference
from agent.models.loaded import LoadedModel
from agent.models.loading import load_model
from agent.scoring.bank import Bank, Wanted
from agent.scoring.baseline import Baseline, learn
from agent.scoring.errors import ScoringError
from agent.scoring.faults import Judges, score_trial
from agent.scoring.ordinary import Lot, prepared, replay_population, replay_shift
from agent.scoring.planting import Line
from agent.scoring.protocol import Protocol, Trial
from agent.scoring.recording import Recorder, Recording


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a process must know to do any part. ``shortcut``: a model file that learned one."""

    config: config.Config
    protocol: Protocol
    references: tuple[Path, ...]
    bank: Path
    shortcut: Path | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """Make one recording; ``None``."""

    one: Wanted


@dataclass(frozen=True, slots=True)
class Population:
    """Replay the days of one population of lots; ``FalseAlarms``."""

    number: int


@dataclass(frozen=True, slots=True)
class Shift:
    """Replay one shift fruit by fruit; its alarms by cause."""

    number: int


@dataclass(frozen=True, slots=True)
class Runs:
    """All runs of one fault at one strength; ``TrialScore``."""

    trial: Trial


Part = Record | Population | Shift | Runs
Told = Callable[[int], None]


class Work:
    """Does parts. Recordings are read, and the softmax tests learned, at the first part that
    judges: by then everything must have been recorded."""

    def __init__(
        self, line: Line, protocol: Protocol, references: Mapping[str, Reference], bank: Path
    ) -> None:
        self.line, self.protocol, self.references = line, protocol, references
        self._folder = bank

    def do(self, part: Part, told: Told = lambda _cups: None) -> object:
        """The part's result. ``told`` hears how many cups of a recording have passed.

        ``ScoringError`` for what cannot be done.
        """
        match part:
            case Record(one):
                self.bank.record(one, told)
                return None
            case Population(number):
                return replay_population(
                    number,
                    self._prepared,
                    self.references,
                    self._baselines,
                    self.protocol,
                    self.line.config.alarms.limits,
                )
            case Shift(number):
                return replay_shift(self._judging, self._judges, self.protocol, number)
            case Runs(trial):
                faulty = self.bank.read(self.bank.faults(self.variety, trial))
                ordinary = self._judging[self.variety]
                return score_trial(trial, ordinary, faulty, self._judges, self.protocol)

    @property
    def variety(self) -> str:
        """On whose line the faults are planted."""
        return next(iter(self.references))

    @cached_property
    def bank(self) -> Bank:
        return Bank(self._folder, self.protocol, Recorder(self.line, self.protocol))

    @cached_property
    def _lots(self) -> dict[str, list[Recording]]:
        return {name: self.bank.read(self.bank.lots(name)) for name in self.references}

    @cached_property
    def _baselines(self) -> dict[str, Baseline]:
        asked = self.line.config.alarms.budget
        budget = Budget(asked.days, asked.hours_a_day, self.protocol.window_s)
        learned = self.protocol.baseline_lots
        return {name: learn(rows[:learned], budget) for name, rows in self._lots.items()}

    @cached_property
    def _judging(self) -> dict[str, list[Recording]]:
        return {name: rows[self.protocol.baseline_lots :] for name, rows in self._lots.items()}

    @cached_property
    def _judges(self) -> Judges:
        return Judges(self.line.config.alarms, self.references, self._baselines[self.variety])

    @cached_property
    def _prepared(self) -> dict[str, list[Lot]]:
        return {
            name: [prepared(one, self.references[name], self._baselines[name]) for one in rows]
            for name, rows in self._judging.items()
        }


def set_threads(settings: config.Config) -> None:
    """Of every process that scores."""
    torch.set_num_threads(settings.model.threads)
    cv2.setNumThreads(1)


def begin(given: Assignment) -> Work:
    """Load model and references; ``ScoringError`` or ``ModelError`` for what does not fit."""
    settings, protocol = given.config, given.protocol
    model = load_model(settings.model)
    references = load_references(given.references, settings, model, protocol)
    line = Line(settings, model, protocol.rate_per_min)
    if given.shortcut is not None:
        other = load_model(config.Model(path=given.shortcut), settings.model.device)
        line = replace(line, shortcut=other.module.state_dict())
    return Work(line, protocol, references, given.bank)


def load_references(
    paths: tuple[Path, ...], settings: config.Config, model: LoadedModel, protocol: Protocol
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
