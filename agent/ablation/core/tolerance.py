"""How much rounding allows two computations of the same thing to differ; facts about deltas."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.core.scores import Target, rows
from agent.config import Head

ROUNDING_STEPS = 128
"""Rounding allowed per logit between two ways through one network, in steps of the dtype at the
largest logit. Measured on U-Nets of 8 and 32 features, cut and folded against plain, batched
against single: 5 with trained weights, up to 27 with random ones; 66 on one picture in 32 of an
Unet++ of random weights, whose logits are smaller than the maps that they are made of."""


def logit_rounding(head: Head, logits: Tensor, largest: Tensor | None = None) -> Tensor:
    """How far each logit may be off by rounding: float64, broadcastable to ``logits`` (N, C, *S).

    ``largest``: the largest logit of the whole picture (a scalar) where these are some pixels of
    it. The network rounds in its own output. Where that is a probability p, the step of p is
    divided by the slope of the inversion (p (1 - p) for a sigmoid, p for a softmax): next to 0 and
    1 the logits of such a head are known only coarsely. What the probabilities were made of was as
    large as their own logits at least, and had been rounded like those.
    """
    step = ROUNDING_STEPS * torch.finfo(logits.dtype).eps
    most = logits.abs().amax() if largest is None else largest
    at_least = (step * most.to(torch.float64)).reshape([1] * logits.ndim)
    if head is Head.LOGITS:
        return at_least
    wide = logits.to(torch.float64)
    if head is Head.SIGMOID:
        p = torch.sigmoid(wide)
        slope = p * (1 - p)
    else:
        slope = wide.exp()
    return torch.maximum(step / slope.clamp_min(step), at_least)


def worst_excess(difference: Tensor, allowed: Tensor) -> tuple[float, float]:
    """The difference that exceeds its allowance by most, and that allowance; NaN stays NaN."""
    measured = difference.to(torch.float64)
    limit = allowed.to(torch.float64).expand_as(measured)
    if bool(torch.isnan(measured).any()):
        return math.nan, float(limit.min())
    index = int((measured / limit.clamp_min(1e-300)).flatten().argmax())
    return float(measured.flatten()[index]), float(limit.flatten()[index])


def excess(
    head: Head, found: Tensor, plain: Tensor, pixels: Tensor | None = None
) -> tuple[float, float] | None:
    """Where ``found`` (1, C, h, w) is off from ``plain`` by more than rounding explains: by how
    much, and what is allowed there. With ``pixels`` (h, w) bool, ``found`` has those, (1, C, P)."""
    allowed = logit_rounding(head, plain).expand_as(plain)
    if pixels is not None:
        plain, allowed = rows(plain, pixels), rows(allowed, pixels)
    measured, tolerance = worst_excess((found - plain).abs(), allowed)
    return None if measured <= tolerance else (measured, tolerance)


def score_rounding(
    head: Head, logits: Tensor, target: Target, largest: Tensor | None = None
) -> float:
    """How far the target's y of ``logits`` (1, C, *S) may be off by rounding alone; ``largest`` as
    in ``logit_rounding``."""
    allowed = logit_rounding(head, logits, largest).expand(1, *logits.shape[1:])
    return target.score.rounding(logits, allowed, target)


def all_ones_share(deltas: NDArray[np.float64]) -> float:
    """(1.delta)^2 / (K |delta|^2) in [0, 1]: how alike all channels are; NaN when all are zero."""
    energy = float(deltas @ deltas)
    return float(deltas.sum()) ** 2 / (deltas.size * energy) if energy > 0 else math.nan


def sign_balance(deltas: NDArray[np.float64]) -> float:
    """Sum of the positive deltas over the sum of |delta|, in [0, 1]; NaN when all are zero."""
    total = float(np.abs(deltas).sum())
    return float(deltas[deltas > 0].sum()) / total if total > 0 else math.nan


def ratio(part: float, whole: float, minimum: float) -> float:
    """``part / whole`` clipped to [0, 1]; NaN where ``whole`` is below ``minimum`` or either is."""
    if not whole >= minimum or math.isnan(part):
        return math.nan
    return min(1.0, max(0.0, part / whole))


def context_reliance(foreground: float, background: float, minimum: float) -> float:
    """s_bg / (s_fg + s_bg); NaN where either is undefined or their sum is below ``minimum``."""
    total = foreground + background
    return background / total if total >= minimum else math.nan
