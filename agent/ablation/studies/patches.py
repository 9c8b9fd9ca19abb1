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

from agent.ablation.core.arguments import switch
from agent.ablation.core.case import Case
from agent.ablation.core.effects import effects
from agent.ablation.core.errors import AblationError
from agent.ablation.core.regions import Mask
from agent.ablation.core.scores import Target
from agent.ablation.rows.patches import Box
from agent.ablation.run.batching import Tick
from agent.ablation.run.fills import Fill, fill_named, filled, hidden_runs
from agent.ablation.run.whole_model import WholeModel
from agent.ablation.studies.patch_drops import box_mask, patch_drops


@dataclass(frozen=True, slots=True)
class PatchSettings:
    """``size_px`` and ``stride_px`` on the network's grid: one number, or (height, width);
    ``AblationError`` for a stride that leaves gaps. ``dice``: whether it is measured too, which
    reads every pixel; without it a patch is run only as far as it reaches what the score reads."""

    size_px: int | tuple[int, int] = 16
    stride_px: int | tuple[int, int] = 8
    fill: Fill = Fill.BLUR
    dice: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "dice", switch("dice", self.dice))
        object.__setattr__(self, "fill", fill_named(self.fill))
        for given in (self.size_px, self.stride_px):
            numbers = given if isinstance(given, tuple) else (given, given)
            if len(numbers) != 2 or not all(map(_is_whole, numbers)):
                raise AblationError(
                    f"patches of {given!r}: size and stride are one whole number of pixels, or "
                    "(height, width)"
                )
        for name in ("size_px", "stride_px"):
            given = getattr(self, name)
            whole = tuple(map(int, given)) if isinstance(given, tuple) else int(given)
            object.__setattr__(self, name, whole)  # of numpy, they would reach a file as such
        if not all(1 <= b <= a for a, b in zip(self.size, self.stride, strict=True)):
            raise AblationError(
                f"patches of {extent(self.size)} px at a stride of {extent(self.stride)} px: the "
                "stride must be at least 1 and at most the size, or pixels are left out"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of a patch."""
        return _pair(self.size_px)

    @property
    def stride(self) -> tuple[int, int]:
        """How far the next one lies below, and to the right."""
        return _pair(self.stride_px)


def _is_whole(number: object) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


def _pair(given: int | tuple[int, int]) -> tuple[int, int]:
    return given if isinstance(given, tuple) else (given, given)


def extent(pair: tuple[int, int]) -> str:
    """(height, width) in words: one number where both are the same, else ``WIDTH x HEIGHT``."""
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[1]} x {pair[0]}"


@dataclass(frozen=True, slots=True)
class PatchMaps:
    """Of one class, each (h, w) float32 on the network's grid, NaN outside the aperture: the mean
    over the patches that cover a pixel of the drop of the score, and of the Dice (None where it was
    not measured)."""

    drop: NDArray[np.float32]
    dice: NDArray[np.float32] | None
    settings: PatchSettings


def boxes(size: tuple[int, int], settings: PatchSettings) -> list[Box]:
    """(top, left, bottom, right) of every patch in a picture of (h, w), in raster order.

    The last of a row or column is moved back to the edge, so that every pixel is covered.
    ``AblationError`` where a patch is larger than the picture.
    """
    height, width = settings.size
    if height > size[0] or width > size[1]:
        raise AblationError(
            f"patches of {extent(settings.size)} px do not fit a network input of {size[1]} x "
            f"{size[0]} pixels"
        )
    tops, lefts = (
        sorted({*range(0, n - side + 1, stride), n - side})
        for n, side, stride in zip(size, settings.size, settings.stride, strict=True)
    )
    return [(top, left, top + height, left + width) for top in tops for left in lefts]


def patch_maps(
    whole_model: WholeModel,
    case: Case,
    targets: Sequence[Target],
    settings: PatchSettings,
    tick: Tick,
) -> list[PatchMaps]:
    """One per target. A patch that hides no pixel inside the aperture changes nothing: not run."""
    size = (case.aperture.shape[0], case.aperture.shape[1])
    places = [b for b in boxes(size, settings) if case.aperture[b[0] : b[2], b[1] : b[3]].any()]
    instead = filled(case, settings.fill)
    if settings.dice or any(t.score.reads_all for t in targets):
        drop, dice = _everywhere(whole_model, case, targets, places, instead, tick)
    else:
        drop, dice = patch_drops(whole_model, case, targets, places, instead, tick), None
    return [
        PatchMaps(
            _averaged(case.aperture, places, drop[place]),
            _averaged(case.aperture, places, dice[place])
            if dice is not None and settings.dice
            else None,
            settings,
        )
        for place in range(len(targets))
    ]


def _everywhere(
    whole_model: WholeModel,
    case: Case,
    targets: Sequence[Target],
    places: Sequence[Box],
    instead: NDArray[np.float32],
    tick: Tick,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(targets, places) drop of the score, and Dice, read on every pixel inside the aperture."""
    reader = whole_model.reader(case, torch.from_numpy(case.aperture).to(case.x.device), targets)
    runs = hidden_runs(reader, case, (box_mask(case.aperture, b) for b in places), instead, tick)
    found = [
        [effects(reader.base[0], rows, target)[0] for target in reader.seen.targets]
        for rows in runs
    ]
    drop = np.array([[one.drop for one in row] for row in found])
    dice = np.array([[one.dice for one in row] for row in found])
    return drop.T, dice.T


def _averaged(
    aperture: Mask, places: Sequence[Box], values: NDArray[np.float64]
) -> NDArray[np.float32]:
    """(h, w): the mean over the patches that cover a pixel, NaN outside the aperture."""
    sums, covers = np.zeros(aperture.shape), np.zeros(aperture.shape)
    for (top, left, bottom, right), value in zip(places, values, strict=True):
        sums[top:bottom, left:right] += value
        covers[top:bottom, left:right] += 1
    means = sums / np.maximum(covers, 1)
    means[~aperture | (covers == 0)] = np.nan
    return means.astype(np.float32)
