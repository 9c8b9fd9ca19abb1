"""What a study is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent import config
from agent.ablation.core.case import Case
from agent.ablation.run.batching import Tick
from agent.ablation.run.job import Job
from agent.ablation.run.whole_model import WholeModel
from agent.records import ClassExplanation

Values = list[dict[str, object]]
"""Per target the fields of ``Studied`` that a study fills."""


@dataclass(frozen=True, slots=True)
class StudyContext:
    """What studies work on: a finished job, its explanations (one per target), and the whole model
    for changed pictures. ``other`` runs the job again with the other baseline."""

    whole_model: WholeModel
    case: Case
    job: Job
    records: Sequence[ClassExplanation]
    settings: config.Ablation
    other: Callable[[Tick], tuple[str, Job]]
    clock: Callable[[], float]
