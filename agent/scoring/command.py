"""``pitwatch score-alarms``: progress, the table, the files, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn

from agent.ablation.core.errors import AblationError
from agent.commissioning.command import (
    EXIT_CONFIG,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_REFUSED,
    counting_progress,
)
from agent.commissioning.errors import CommissioningError
from agent.config import Config
from agent.models.errors import ModelError
from agent.scoring.bank import Wanted
from agent.scoring.card import make_folder
from agent.scoring.crew import hands
from agent.scoring.errors import ScoringError
from agent.scoring.protocol import PROTOCOL, Protocol, Trial, load_protocol
from agent.scoring.scoring import Scoring, Told, check_claim
from agent.scoring.work import Assignment, begin, set_threads


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What the command line says. ``trial``: fewer lots, runs or days than a claim needs will do.
    ``shortcut``: a model file that learned a shortcut. ``processes``: that share the work."""

    references: tuple[Path, ...]
    bank: Path
    out: Path
    faults: tuple[str, ...] = ()
    protocol: Path = PROTOCOL
    shortcut: Path | None = None
    trial: bool = False
    processes: int = 1


def score_with_progress(config: Config, options: ScoreOptions, console: Console) -> int:
    """Run a scoring; the exit code: 0 scored, 1 refused, 78 the model, 130 interrupted."""
    set_threads(config)
    try:
        protocol = load_protocol(options.protocol)
        check_claim(protocol, options.trial)
        protocol.trials(options.faults)
        make_folder(options.out)
        given = Assignment(
            config, protocol, options.references, options.bank, shortcut=options.shortcut
        )
        work = begin(given)
        with (
            counting_progress(console, TimeRemainingColumn()) as progress,
            hands(work, given, options.processes) as doing,
        ):
            card = Scoring(work, doing, options.faults, _Bars(progress, protocol)).run()
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


class _Bars(Told):
    """Three progress bars."""

    def __init__(self, progress: Progress, protocol: Protocol) -> None:
        self._progress = progress
        self._recording = progress.add_task("recorded cups", total=0, words="")
        self._days = progress.add_task("days replayed", total=round(protocol.days), words="")
        self._trials = progress.add_task("faults scored", total=None, words="")
        self._passed: dict[Path, int] = {}

    def planned(self, missing: Sequence[Wanted]) -> None:
        self._progress.update(self._recording, total=sum(one.cups for one in missing))

    def recorded(self, one: Wanted, cups: int) -> None:
        self._passed[one.path] = cups
        done = sum(self._passed.values())
        self._progress.update(self._recording, completed=done, words=one.title)

    def replayed(self, days: float) -> None:
        self._progress.update(self._days, completed=round(days))

    def scored(self, trial: Trial) -> None:
        self._progress.update(self._trials, advance=1, words=trial.key)
