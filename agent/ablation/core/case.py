"""The case of one explanation: the network's input, the plain prediction, the frozen regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.core import scores
from agent.ablation.core.errors import AblationError
from agent.ablation.core.focus import PREDICTED, Classes, Focus
from agent.ablation.core.regions import Mask, to_grid
from agent.ablation.core.scores import MARGIN, ScoreFunction, Target
from agent.models import pictures
from agent.models.loaded import LoadedModel, as_logits, preprocess


@dataclass(frozen=True, slots=True)
class Case:
    """``x`` (1, C, h, w), ``logits`` (1, classes, h, w) of the plain model, ``mask`` their argmax
    (h, w) uint8, ``aperture`` (h, w) bool on the network's grid, ``focus`` what M is. ``size``
    (H, W) is the picture's own.
    """

    x: Tensor
    logits: Tensor
    mask: NDArray[np.uint8]
    aperture: Mask
    focus: Focus
    size: tuple[int, int]


def load_case(
    model: LoadedModel,
    image_bgr: NDArray[np.uint8],
    aperture: Mask | None,
    region: Focus | NDArray[np.uint8] | None,
) -> Case:
    """Run the plain model once. ``region`` as in ``Engine.explain``."""
    try:
        picture, inside = pictures.standard(image_bgr, aperture)
        x = preprocess(model, picture, inside).unsqueeze(0)
    except pictures.PictureError as error:
        raise AblationError(str(error)) from error
    x = x.contiguous(memory_format=torch.channels_last)  # a quarter faster, the same numbers
    grid = (int(x.shape[2]), int(x.shape[3]))
    logits = as_logits(model, model.module(x), grid)
    if not bool(torch.isfinite(logits).all()):
        raise AblationError(f"{model.name}: logits that are not finite for this picture")
    mask = scores.winners(logits[0]).cpu().numpy()
    inside_grid = np.ones(grid, np.bool_) if inside is None else to_grid(inside, grid, 0.5)
    size = (picture.shape[0], picture.shape[1])
    if isinstance(region, np.ndarray):
        _check_region(model, region, size, grid)
        region = Classes(on_grid(region, grid))
    return Case(x, logits, mask, inside_grid, region or PREDICTED, size)


def on_grid(region: NDArray[np.uint8], grid: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask of class indices on another grid, each pixel the class at its place."""
    if region.ndim != 2 or region.dtype != np.uint8:
        raise AblationError(
            f"a region must be (h, w) uint8 class indices, found {region.shape} {region.dtype}"
        )
    if region.shape == grid:
        return region
    size = (grid[1], grid[0])
    return np.asarray(cv2.resize(region, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def _check_region(
    model: LoadedModel, region: NDArray[np.uint8], size: tuple[int, int], grid: tuple[int, int]
) -> None:
    """``AblationError`` for a mask of class indices that belongs to another picture or model."""
    if region.ndim == 2 and region.shape not in (size, grid):
        raise AblationError(
            f"the mask of the region is {region.shape[1]} x {region.shape[0]} pixels, the picture "
            f"{size[1]} x {size[0]}, the network's input {grid[1]} x {grid[0]}"
        )
    highest = int(region.max(initial=0)) if region.dtype == np.uint8 else 0
    if highest >= len(model.classes):
        raise AblationError(
            f"the mask of the region holds class {highest}, but {model.name} has "
            f"{len(model.classes)} classes: {', '.join(model.classes)}"
        )


def target(model: LoadedModel, case: Case, name: str, score: ScoreFunction = MARGIN) -> Target:
    """The frozen region and prediction of one class, inside the aperture."""
    index = model.classes.index(name)
    prediction = (case.mask == index) & case.aperture
    region = case.focus.pixels(index, prediction, case.size) & case.aperture
    device = case.logits.device
    return Target(
        name,
        index,
        torch.from_numpy(region).to(device),
        torch.from_numpy(prediction).to(device),
        score,
    )


def why_not(found: Target, case: Case) -> str:
    """Why a class cannot be explained in this picture; empty when it can."""
    if not bool(found.region.any()):
        return f"not explainable: {case.focus.why_empty(found.name)}"
    reason = found.score.why_not(found)
    return f"not explainable: {reason}" if reason else ""


def check_classes(model: LoadedModel, names: Sequence[str]) -> None:
    """``AblationError`` for a class the model does not have, or nothing to contrast it with."""
    if len(model.classes) < 2:
        raise AblationError(f"{model.name}: a margin needs at least two classes")
    for name in names:
        if name not in model.classes:
            raise AblationError(
                f"{model.name}: no class {name!r}; there are: {', '.join(model.classes)}"
            )
