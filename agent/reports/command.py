"""``pitwatch study``: the experiments of the paper on a set of pictures, as tables and one report.

Importing this module loads no network library, so that a command line can be built from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent import config
from agent.reports.ending import exit_code

if TYPE_CHECKING:
    from agent.reports.sources import Shot


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions:
    """``shots`` are the pictures and ``source`` what they were called; ``out`` is the folder of the
    report, made where it is missing. ``classes`` empty: all foreground classes. ``examples``: of
    how many pictures the figures go into the report. ``maps``: regions in each map separately,
    which is most of the work."""

    shots: Sequence[Shot]
    source: str
    out: Path
    model: config.Model = field(default_factory=config.Model)
    layer: str | None = None
    classes: tuple[str, ...] = ()
    score: config.Score = config.Score.MARGIN
    baseline: Literal["zero", "mean"] = "zero"
    reference: Sequence[Shot] = ()
    groups: str = ""
    examples: int = 3
    maps: bool = True
    seed: int = 0


def run_study(options: StudyOptions) -> int:
    """Study every picture and write the report; returns the exit code.

    0: done, and every picture was explained for at least one class. 1: a picture could not be read
    or explained (the report is about the others and names it), or none could. 78: the model, layer
    or class that was named is not there.
    """

    def work() -> bool:
        from agent.reports.survey import survey_and_report

        return survey_and_report(options)

    return exit_code("pitwatch study", work)
