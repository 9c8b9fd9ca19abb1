"""The effects of items, read off their logits on the pixels that matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from agent.ablation.core import scores
from agent.ablation.core.scores import MARGIN, Target


@dataclass(frozen=True, slots=True)
class View:
    """The ``pixels`` (h, w) bool on which scores are read, P of them."""

    pixels: Tensor
    targets: tuple[Target, ...]  # region and prediction restricted to those pixels, (P,)

    def of(self, logits: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, P)."""
        return scores.rows(logits, self.pixels)


def view(pixels: Tensor, targets: Sequence[Target]) -> View:
    """The view of ``pixels`` (h, w) bool."""
    index = pixels.flatten().nonzero().squeeze(1)
    inside = tuple(
        replace(
            t,
            region=t.region.flatten()[index],
            prediction=t.prediction.flatten()[index],
            seen=index,
        )
        for t in targets
    )
    return View(pixels, inside)


@dataclass(frozen=True, slots=True)
class Effect:
    """What one item did to one class; ``drop`` is in the chosen score. ``all_read``: on all pixels
    inside the aperture; else those of M alone were, and ``dice`` and ``margin_outside`` are NaN."""

    drop: float
    margin_drop: float
    dice: float
    margin_inside: float
    margin_outside: float
    all_read: bool = True


def scores_alone(base: Tensor, logits: Tensor, target: Target) -> list[Effect]:
    """What pixels of M alone say of an occlusion, for N items; ``base`` is (C, P)."""
    drop = target.score.drop(base, logits, target)
    margin = drop if target.score is MARGIN else MARGIN.drop(base, logits, target)
    before = MARGIN.value(base.unsqueeze(0), target)
    values = torch.stack((drop, margin, before - margin), dim=1)
    return [
        Effect(one, two, math.nan, inside, math.nan, all_read=False)
        for one, two, inside in values.tolist()
    ]


def effects(base: Tensor, logits: Tensor, target: Target) -> list[Effect]:
    """Everything recorded of an occlusion, for N items on the pixels inside the aperture."""
    overlap = scores.dice(scores.predicted(logits, target.index), target.prediction)
    away = scores.class_margin(scores.rows(logits, ~target.region), target.index, torch.float32)
    outside = away.to(torch.float64).mean(1)
    return [
        replace(one, dice=dice, margin_outside=margin, all_read=True)
        for one, dice, margin in zip(
            scores_alone(base, logits, target), overlap.tolist(), outside.tolist(), strict=True
        )
    ]
