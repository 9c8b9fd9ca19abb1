"""Scores of a segmentation over a frozen region, and their drops, in float64.

Everywhere: ``logits`` is (N, C, *S) of any float dtype, ``base`` is (C, *S) (the unperturbed one),
``region`` is (*S) bool, frozen before anything was perturbed. S is (h, w), or one axis of pixels
when only some were computed: a score never looks beyond the pixels it is given.

- margin:    y = mean over M of z_c(p) - logsumexp over j != c of z_j(p)
- logit_sum: y = sum over M of z_c(p)
- dice_drop: y = Dice of the perturbed against the unperturbed prediction of class c

A drop is the sum of the per-pixel differences to the base, not the difference of two sums: the sums
are large and nearly equal, so their difference would lose an order of magnitude of precision.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agent.config import Score


def class_margin(logits: Tensor, class_index: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """(N, C, *S) -> (N, *S) ``dtype``: logit of the class minus logsumexp of the other classes."""
    wide = logits.to(dtype)
    others = torch.cat((wide[:, :class_index], wide[:, class_index + 1 :]), dim=1)
    rest = others[:, 0] if others.shape[1] == 1 else torch.logsumexp(others, dim=1)
    return wide[:, class_index] - rest


def predicted(logits: Tensor, class_index: int) -> Tensor:
    """(N, C, *S) -> (N, *S) bool: where the class wins; a tie goes to the lower index.

    By comparisons: an argmax over a handful of channels is ten times slower.
    """
    own = logits[:, class_index]
    wins = torch.ones_like(own, dtype=torch.bool)
    for other in range(logits.shape[1]):
        if other < class_index:
            wins &= own > logits[:, other]
        elif other > class_index:
            wins &= own >= logits[:, other]
    return wins


def winners(logits: Tensor) -> Tensor:
    """(C, *S) -> (*S) uint8: the class of the largest logit, the lowest of equal ones."""
    best = logits.amax(0)
    found = torch.zeros_like(best, dtype=torch.uint8)
    for index in reversed(range(len(logits))):
        found.masked_fill_(logits[index] == best, index)
    return found


def dice(prediction: Tensor, reference: Tensor) -> Tensor:
    """(N, *S) and (*S) bool -> (N,) float64; NaN where both are empty, 0 where only one is."""
    flat, ref = prediction.flatten(1), reference.flatten()
    both = (flat & ref).sum(1).to(torch.float64)
    return 2 * both / (flat.sum(1) + ref.sum()).to(torch.float64)


def rows(logits: Tensor, region: Tensor) -> Tensor:
    """(N, C, *S) -> (N, C, P): the pixels of the region alone.

    Gathered pixel by pixel with the channels side by side, as the logits lie in channels-last
    memory: gathering along the last axis costs twenty times as much.
    """
    flat = logits.flatten(2).transpose(1, 2)
    items, pixels, channels = flat.shape
    index = region.flatten().nonzero().squeeze(1)
    start = torch.arange(items, device=index.device)[:, None] * pixels
    picked = flat.reshape(items * pixels, channels).index_select(0, (start + index).flatten())
    return picked.view(items, -1, channels).transpose(1, 2)


def margin_mean(logits: Tensor, class_index: int, region: Tensor) -> Tensor:
    """(N,) float64: mean margin over the region; NaN where the region is empty."""
    return class_margin(rows(logits, region), class_index).mean(1)


def score(
    kind: Score, logits: Tensor, class_index: int, region: Tensor, prediction: Tensor
) -> Tensor:
    """(N,) float64: y of each item. ``prediction`` (*S) bool: the class's unperturbed pixels."""
    if kind is Score.DICE_DROP:
        return dice(predicted(logits, class_index), prediction)
    if kind is Score.LOGIT_SUM:
        return rows(logits, region)[:, class_index].to(torch.float64).sum(1)
    return margin_mean(logits, class_index, region)


def drop(
    kind: Score,
    base: Tensor,
    logits: Tensor,
    class_index: int,
    region: Tensor,
    prediction: Tensor,
) -> Tensor:
    """(N,) float64: y of ``base`` minus y of each item. Arguments as in ``score``."""
    if kind is Score.DICE_DROP:
        before = dice(predicted(base.unsqueeze(0), class_index), prediction)
        return before - dice(predicted(logits, class_index), prediction)
    before, after = rows(base.unsqueeze(0), region), rows(logits, region)
    if kind is Score.LOGIT_SUM:
        difference = before[:, class_index].to(torch.float64) - after[:, class_index].to(
            torch.float64
        )
        return difference.sum(1)
    return (class_margin(before, class_index) - class_margin(after, class_index)).mean(1)


def differentiable(kind: Score, logits: Tensor, class_index: int, region: Tensor) -> Tensor:
    """(N,) y for a gradient, in the dtype of ``logits``; ``dice_drop`` is flat, so its margin."""
    inside = rows(logits, region)
    if kind is Score.LOGIT_SUM:
        return inside[:, class_index].sum(1)
    others = torch.cat((inside[:, :class_index], inside[:, class_index + 1 :]), dim=1)
    return (inside[:, class_index] - torch.logsumexp(others, dim=1)).mean(1)
