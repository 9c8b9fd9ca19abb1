"""Occlusion of the input by a sliding patch, for a score that reads a region alone: the fast way.

What ``patches`` gives for a margin or a sum of logits, without the Dice beside it: that one reads
every pixel, so everything would have to be run. The controls are those of every explanation: an
item that hides nothing goes through the pairs of every other one and must give the plain model's
logits, and one random patch is run again through the plain model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.batching import pixel_logits
from agent.ablation.beside import side_by_side
from agent.ablation.controls import score_rounding
from agent.ablation.errors import AblationError
from agent.ablation.fills import filled
from agent.ablation.measure import Target, View, drops, view
from agent.ablation.patches import PatchSettings, boxes
from agent.ablation.picture import Case
from agent.ablation.verify import null_control
from agent.ablation.whole import whole_half
from agent.ablation.windows import Box, Windows
from agent.config import Score
from agent.models.loaded import LoadedModel, as_logits

BATCH = 16


def patch_drops(
    model: LoadedModel, case: Case, target: Target, settings: PatchSettings
) -> NDArray[np.float32]:
    """(h, w) mean over the patches that cover a pixel of the drop of the target's score, NaN where
    no patch was run.

    Raises ``CutError`` for a model that is not made of local operations (``patches`` takes those),
    ``AblationError`` for a Dice, and what the controls raise.
    """
    if target.kind is Score.DICE_DROP:
        raise AblationError("a Dice reads every pixel: use the general way of occluding patches")
    need = target.region.cpu().numpy()
    size = (need.shape[0], need.shape[1])
    places = [b for b in boxes(size, settings) if case.aperture[b[0] : b[2], b[1] : b[3]].any()]
    with torch.no_grad():
        windows = Windows(whole_half(model, case.x), case.x, need)
        inside = torch.from_numpy(case.aperture).to(case.x.device)
        other = torch.from_numpy(filled(case, settings.fill)).to(case.x)
        instead = torch.where(inside, other, case.x[0])
        seen = view(target.region, [target])
        base = pixel_logits(model, windows.base)
        null = pixel_logits(model, windows.run(places[:1], case.x[0]))
        for rows in (base, null):
            null_control(model.head, case.logits, rows, seen)
        found = np.zeros(len(places))
        start = 0

        def run(part: Sequence[Box]) -> Tensor:
            return drops(base[0], pixel_logits(model, windows.run(part, instead)), seen.targets[0])

        parts = [places[i : i + BATCH] for i in range(0, len(places), BATCH)]
        for part, drop in side_by_side(run, parts, case.x.device):
            found[start : start + len(part)] = drop.cpu().numpy()
            start += len(part)
        _spot_check(model, case, seen, instead, places, found)
    return _averaged(size, places, found)


def _averaged(
    size: tuple[int, int], places: Sequence[Box], found: NDArray[np.float64]
) -> NDArray[np.float32]:
    sums, covers = np.zeros(size), np.zeros(size)
    for (top, left, bottom, right), drop in zip(places, found, strict=True):
        sums[top:bottom, left:right] += drop
        covers[top:bottom, left:right] += 1
    with np.errstate(invalid="ignore"):
        return (sums / covers).astype(np.float32)


def _spot_check(
    model: LoadedModel,
    case: Case,
    seen: View,
    instead: Tensor,
    places: Sequence[Box],
    found: NDArray[np.float64],
) -> None:
    """One patch through the plain model; ``AblationError`` where it differs beyond rounding. Which
    one depends on the picture, so that a stream of pictures checks all of them."""
    number = int(case.mask.sum(dtype=np.int64)) % len(places)
    top, left, bottom, right = places[number]
    x = case.x.clone()
    x[0, :, top:bottom, left:right] = instead[:, top:bottom, left:right]
    again = as_logits(model, model.module(x), (x.shape[2], x.shape[3]))
    target = seen.targets[0]
    what = (target.index, target.region, target.prediction)
    expected = float(drops(seen.of(case.logits)[0], seen.of(again), target)[0])
    allowed = sum(
        score_rounding(target.kind, model.head, seen.of(logits), *what)
        for logits in (case.logits, again)
    )
    difference = abs(found[number] - expected)
    if not difference <= allowed:
        raise AblationError(
            f"spot check failed on {target.name}: the patch at {left}, {top} differs from a plain "
            f"re-run by {difference:.3g}, more than rounding explains ({allowed:.3g})"
        )
