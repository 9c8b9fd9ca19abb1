"""What the engine hands back for one picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.ablation.studies.studies import Studied
from agent.records import ClassExplanation, Rung


@dataclass(frozen=True, slots=True)
class EngineResult:
    """The classes' explanations and the arrays they were read from.

    ``input`` (3, h, w) float32 is the picture as the network saw it, ``logits`` (C, h, w) float32
    the plain model's, ``mask`` (h, w) uint8 their argmax, ``aperture`` (h, w) bool on that grid.
    ``path`` names the way the model was run from the layer on, ``ways_left`` the faster ones that
    were not taken, ``way: reason`` each. ``seconds`` is the whole call.
    ``classes`` are by the first score asked for, which ``score`` names; ``more`` by the others.
    ``studies`` holds the arrays of what was studied, by class and score.
    """

    classes: tuple[ClassExplanation, ...]
    rung: Rung
    method: str
    layer: str
    path: str
    score: str
    baseline: str
    region_threshold: float
    region_source: str
    left_out: tuple[str, ...]
    seconds: float
    seconds_by_method: Mapping[str, float]
    input: NDArray[np.float32]
    logits: NDArray[np.float32]
    mask: NDArray[np.uint8]
    aperture: NDArray[np.bool_]
    more: tuple[ClassExplanation, ...] = ()
    studies: Mapping[tuple[str, str], Studied] = field(default_factory=dict)
    ways_left: tuple[str, ...] = ()

    def of(self, class_name: str, score: str | None = None) -> ClassExplanation:
        """The explanation of one class, by the first score or the one named; ``KeyError``."""
        wanted = score or self.score
        for one in (*self.classes, *self.more):
            if one.class_name == class_name and one.score == wanted:
                return one
        raise KeyError(f"{class_name} by {wanted}")

    def study(self, class_name: str, score: str | None = None) -> Studied:
        """What was studied of one class; all empty where nothing was."""
        return self.studies.get((class_name, score or self.score), Studied())


def not_explainable(name: str, reason: str, score: str = "") -> ClassExplanation:
    """The record of a class that has nothing to explain: no numbers, and why."""
    nan = float("nan")
    return ClassExplanation(
        class_name=name,
        explainable=False,
        score=str(score),
        reason=reason,
        y=nan,
        y_null=nan,
        null_tolerance=nan,
        y_all=nan,
        deltas=np.zeros(0),
        map=np.zeros((0, 0), np.float32),
        mean_map=np.zeros((0, 0), np.float32),
        exact=np.zeros(0, np.bool_),
        estimate_error=nan,
        spot_channel=-1,
        spot_error=nan,
        all_ones_share=nan,
        sign_balance=nan,
        sensitivity_foreground=nan,
        sensitivity_background=nan,
        context_reliance=nan,
        occlusions=(),
    )
