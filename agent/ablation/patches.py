"""Occlusion sensitivity of the input: a patch slides over the picture, and the drops are averaged.

After Zeiler and Fergus; for segmentation the score is that of a frozen region, and the Dice of the
perturbed against the unperturbed prediction stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from agent.ablation.batching import Tick
from agent.ablation.errors import AblationError
from agent.ablation.fills import Fill, filled, hidden_runs
from agent.ablation.measure import Target, effects
from agent.ablation.picture import Case
from agent.ablation.regions import Mask
from agent.ablation.whole import Whole

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class PatchSettings:
    """``size_px`` and ``stride_px`` on the network's grid; ``AblationError`` for a stride that
    leaves gaps."""

    size_px: int = 16
    stride_px: int = 8
    fill: Fill = Fill.BLUR

    def __post_init__(self) -> None:
        if not 1 <= self.stride_px <= self.size_px:
            raise AblationError(
                f"patches of {self.size_px} px at a stride of {self.stride_px} px: the stride must "
                "be at least 1 and at most the size, or pixels are left out"
            )


@dataclass(frozen=True, slots=True)
class PatchMaps:
    """Of one class, each (h, w) float32 on the network's grid, NaN outside the aperture: the mean
    over the patches that cover a pixel of the drop of the score, and of the Dice."""

    drop: NDArray[np.float32]
    dice: NDArray[np.float32]
    settings: PatchSettings


def boxes(size: tuple[int, int], settings: PatchSettings) -> list[Box]:
    """(top, left, bottom, right) of every patch in a picture of (h, w), in raster order.

    The last of a row or column is moved back to the edge, so that every pixel is covered.
    ``AblationError`` where a patch is larger than the picture.
    """
    side, stride = settings.size_px, settings.stride_px
    if side > min(size):
        raise AblationError(
            f"patches of {side} px do not fit a network input of {size[1]} x {size[0]} pixels"
        )
    tops, lefts = (sorted({*range(0, n - side + 1, stride), n - side}) for n in size)
    return [(top, left, top + side, left + side) for top in tops for left in lefts]


def patch_maps(
    whole: Whole,
    case: Case,
    targets: Sequence[Target],
    settings: PatchSettings,
    tick: Tick,
) -> list[PatchMaps]:
    """One per target. A patch that hides no pixel inside the aperture changes nothing: not run."""
    size = (case.aperture.shape[0], case.aperture.shape[1])
    places = [b for b in boxes(size, settings) if case.aperture[b[0] : b[2], b[1] : b[3]].any()]
    reader = whole.reader(case, torch.from_numpy(case.aperture).to(case.x.device), targets)
    masks = (_mask(size, box) for box in places)
    runs = hidden_runs(reader, case, masks, filled(case, settings.fill), tick)
    sums = np.zeros((len(targets), 2, *size))
    covers = np.zeros(size)
    for (top, left, bottom, right), rows in zip(places, runs, strict=True):
        covers[top:bottom, left:right] += 1
        for place, target in enumerate(reader.seen.targets):
            (effect,) = effects(reader.base[0], rows, target)
            sums[place, :, top:bottom, left:right] += np.array([effect.drop, effect.dice])[
                :, None, None
            ]
    means = sums / np.maximum(covers, 1)
    means[:, :, ~case.aperture | (covers == 0)] = np.nan
    maps = means.astype(np.float32)
    return [PatchMaps(drop, dice, settings) for drop, dice in maps]


def _mask(size: tuple[int, int], box: Box) -> Mask:
    out = np.zeros(size, np.bool_)
    out[box[0] : box[2], box[1] : box[3]] = True
    return out
