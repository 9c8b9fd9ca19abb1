"""``pitwatch score-alarms``: progress, the table, the files, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from rich.console import Console
from rich.progress import Progress, TaskID, TimeRemainingColumn

from agent.ablation.errors import AblationError
from agent.commissioning.command import (
    EXIT_CONFIG,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_REFUSED,
    counting_progress,
)
from agent.commissioning.errors import CommissioningError
from agent.config import Config, Model
from agent.models.errors import ModelError
from agent.models.loading import load_model
from agent.scoring.bank import Wanted
from agent.scoring.card import make_folder
from agent.scoring.errors import ScoringError
from agent.scoring.planting import Line, Weights
from agent.scoring.protocol import PROTOCOL, Protocol, Trial, load_protocol
from agent.scoring.scoring import Scoring, Told, check_claim, load_references


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What the command line says. ``trial``: fewer lots, runs or days than a claim needs will do.
    ``shortcut``: a model file that learned a shortcut."""

    references: tuple[Path, ...]
    bank: Path
    out: Path
    faults: tuple[str, ...] = ()
    protocol: Path = PROTOCOL
    shortcut: Path | None = None
    trial: bool = False


def score_with_progress(config: Config, options: ScoreOptions, console: Console) -> int:
    """Run a scoring; the exit code: 0 scored, 1 refused, 78 the model, 130 interrupted."""
    torch.set_num_threads(config.model.threads)
    cv2.setNumThreads(1)
    try:
        protocol = load_protocol(options.protocol)
        check_claim(protocol, options.trial)
        protocol.trials(options.faults)
        make_folder(options.out)
        model = load_model(config.model)
        references = load_references(options.references, config, model, protocol)
        line = Line(
            config,
            model,
            protocol.rate_per_min,
            shortcut=_weights(config, options.shortcut),
        )
        with counting_progress(console, TimeRemainingColumn()) as progress:
            told = _told(progress, protocol)
            scoring = Scoring(line, protocol, references, options.bank, options.faults, told)
            card = scoring.run()
        written = card.write(options.out)
    except KeyboardInterrupt:
        sys.stderr.write(f"pitwatch: interrupted; the same command goes on with {options.bank}\n")
        return EXIT_INTERRUPTED
    except ModelError as error:
        sys.stderr.write(f"pitwatch: {error}\n")
        return EXIT_CONFIG
    except (ScoringError, CommissioningError, AblationError) as error:
        sys.stderr.write(f"pitwatch: {error}\n")
        return EXIT_REFUSED
    console.print(card.table())
    for line_of_text in card.sentences():
        console.print(line_of_text)
    console.print(f"wrote {' and '.join(str(path) for path in written)}")
    return EXIT_OK


def _weights(config: Config, path: Path | None) -> Weights | None:
    if path is None:
        return None
    return load_model(Model(path=path), config.model.device).module.state_dict()


def _told(progress: Progress, protocol: Protocol) -> Told:
    recording = progress.add_task("recorded cups", total=0, words="")
    days = progress.add_task("days replayed", total=round(protocol.days), words="")
    trials = progress.add_task("faults scored", total=None, words="")
    return _Bars(progress, recording, days, trials).told()


@dataclass(slots=True)
class _Bars:
    progress: Progress
    recording: TaskID
    days: TaskID
    trials: TaskID
    finished: int = 0

    def told(self) -> Told:
        return Told(self._planned, self._recorded, self._replayed, self._scored)

    def _planned(self, missing: Sequence[Wanted]) -> None:
        self.progress.update(self.recording, total=sum(one.cups for one in missing))

    def _recorded(self, one: Wanted, cups: int) -> None:
        done = self.finished + cups
        self.progress.update(self.recording, completed=done, words=one.title)
        if cups == one.cups:
            self.finished = done

    def _replayed(self, days: float) -> None:
        self.progress.update(self.days, completed=round(days))

    def _scored(self, trial: Trial) -> None:
        self.progress.update(self.trials, advance=1, words=trial.key)
