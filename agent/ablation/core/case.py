"""The case of one explanation: the network's input, the plain prediction, the frozen regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agent.ablation.core import scores
from agent.ablation.core.errors import AblationError
from agent.ablation.core.focus import FORMS, PREDICTED, Classes, Focus, given, parse_focus
from agent.ablation.core.regions import Mask, to_grid
from agent.ablation.core.scores import MARGIN, ScoreFunction, Target
from agent.models import pictures
from agent.models.loaded import LoadedModel, as_logits, preprocess

Picture = NDArray[np.uint8] | Tensor
"""(H, W, 3) uint8 BGR or with alpha, or the network's own input, (C, h, w) or (1, C, h, w)."""
EXACT = (torch.float32, torch.float64)


@dataclass(frozen=True, slots=True)
class Case:
    """``x`` (1, C, h, w), ``logits`` (1, classes, h, w) of the plain model, ``mask`` their argmax
    (h, w) uint8, ``aperture`` (h, w) bool on the network's grid, ``focus`` what M is. ``size``
    (H, W) is the picture's own, ``module`` the network that predicted.
    """

    x: Tensor
    logits: Tensor
    mask: NDArray[np.uint8]
    aperture: Mask
    focus: Focus
    size: tuple[int, int]
    module: nn.Module | None = None

    def spot(self, count: int) -> int:
        """Which of so many is run again as a check. It depends on the picture, so that a stream of
        pictures checks all of them."""
        return int(self.mask.sum(dtype=np.int64)) % count


def load_case(
    model: LoadedModel,
    picture: Picture,
    aperture: Mask | None,
    region: Focus | NDArray[np.uint8] | str | None,
) -> Case:
    """Run the plain model once. ``region`` as in ``Engine.explain``."""
    focus = _focus(region)
    x, inside, size = network_input(model, picture, aperture)
    x = x.contiguous(memory_format=torch.channels_last)  # a quarter faster, the same numbers
    grid = (int(x.shape[2]), int(x.shape[3]))
    logits = as_logits(model, model.module(x), grid)
    if not bool(torch.isfinite(logits).all()):
        raise AblationError(f"{model.name}: logits that are not finite for this picture")
    mask = scores.winners(logits[0]).cpu().numpy()
    inside_grid = np.ones(grid, np.bool_) if inside is None else to_grid(inside, grid, 0.5)
    if not isinstance(focus, Focus):
        _check_region(model, focus, size, grid)
        focus = Classes(on_grid(focus, grid))
    return Case(x, logits, mask, inside_grid, focus, size, model.module)


def network_input(
    model: LoadedModel, picture: Picture, aperture: Mask | None
) -> tuple[Tensor, Mask | None, tuple[int, int]]:
    """The network's input (1, C, h, w), the aperture of the picture, and the picture's own (H, W).

    A tensor (C, h, w) or (1, C, h, w) is that input already. ``AblationError`` for what is neither
    a picture nor a tensor such as the network takes.
    """
    if aperture is not None:
        aperture = _aperture(aperture)
    try:
        if isinstance(picture, Tensor):
            x = own_input(model, picture)
            size = (int(x.shape[2]), int(x.shape[3]))
            if aperture is not None and aperture.shape != size:
                raise AblationError(f"aperture {aperture.shape} does not fit the tensor {size}")
            return x, aperture, size
        standard, inside = pictures.standard(picture, aperture)
        x = preprocess(model, standard, inside).unsqueeze(0)
    except pictures.PictureError as error:
        raise AblationError(str(error)) from error
    return x, inside, (standard.shape[0], standard.shape[1])


def own_input(model: LoadedModel, tensor: Tensor) -> Tensor:
    """(1, C, h, w): a tensor that is the network's input already, checked and cut off from any
    graph. It is never moved or converted: that would cost without a word."""
    shape, dtype = input_form(model)
    if tensor.layout is not torch.strided or tensor.is_quantized:
        kind = "quantized" if tensor.is_quantized else str(tensor.layout)
        raise AblationError(f"a tensor in must be dense, found {kind}")
    if tensor.dtype != dtype:
        raise AblationError(f"a tensor in must be {dtype}, as the network takes it: {tensor.dtype}")
    x = tensor.unsqueeze(0) if tensor.ndim == 3 else tensor
    if x.ndim == 4 and len(x) != 1:
        raise AblationError(
            f"{len(x)} pictures in one tensor: explain_all and deltas take so many, explain one"
            if len(x)
            else "a batch without a picture"
        )
    if tuple(x.shape[1:]) != shape or x.ndim != 4:
        raise AblationError(
            f"{model.name} takes tensors of {shape}, found one of {tuple(tensor.shape)}"
        )
    if tensor.device != model.device:
        raise AblationError(
            f"the tensor lies on {tensor.device}, the model on {model.device}: move one of them"
        )
    if not bool(torch.isfinite(tensor).all()):
        raise AblationError("a tensor in must be finite, found NaN or infinite values")
    return x.detach().clone()  # a network may write to its input


def input_form(model: LoadedModel) -> tuple[tuple[int, int, int], torch.dtype]:
    """(C, h, w) and dtype of what the network takes."""
    if model.example is not None:
        _, channels, height, width = model.example.shape
        return (channels, height, width), model.example.dtype
    settings = model.preprocessing
    return (pictures.channels_of(settings), settings.height_px, settings.width_px), torch.float32


def check_dtype(model: LoadedModel) -> None:
    """``AblationError`` for weights of another dtype than the network's input, which is why it does
    not run. (One that converts within does run.)"""
    wanted = input_form(model)[1]
    for name, tensor in (*model.module.named_parameters(), *model.module.named_buffers()):
        if tensor.is_complex() or (tensor.is_floating_point() and tensor.dtype not in EXACT):
            raise AblationError(
                f"{model.name}: {name} is {tensor.dtype}, the network's input {wanted}, and drops "
                "are differences of nearly equal numbers: call module.float() first"
            )
        if tensor.is_floating_point() and tensor.dtype != wanted:
            raise AblationError(
                f"{model.name}: {name} is {tensor.dtype}, the network's input {wanted}: call "
                "module.float(), or give an example of its own input in that dtype"
            )


def _focus(region: object) -> Focus | NDArray[np.uint8]:
    if region is None:
        return PREDICTED
    if isinstance(region, str):
        found = parse_focus(region)
        if isinstance(found, str):
            raise AblationError(f"region mask:{found}: give the mask itself, given(mask)")
        return found
    if isinstance(region, Tensor):
        region = region.detach().cpu().numpy()
    if isinstance(region, np.ndarray) and region.dtype == np.bool_:
        return given(region)
    if not isinstance(region, Focus | np.ndarray):
        raise AblationError(
            f"a region is a focus, {FORMS}, (H, W) bool or (h, w) class indices, "
            f"found {type(region).__name__}"
        )
    return region


def _aperture(given: object) -> Mask:
    """(H, W) bool; of numbers, all but 0 is inside."""
    if isinstance(given, Tensor):
        given = given.detach().cpu().numpy()
    if not isinstance(given, np.ndarray) or given.dtype.kind not in "bui" or given.ndim != 2:
        found = f"{given.shape} {given.dtype}" if isinstance(given, np.ndarray) else type(given)
        raise AblationError(f"an aperture must be (H, W) bool, found {found}")
    return np.asarray(given, np.bool_)


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


def layer_name(model: LoadedModel, layer: str | nn.Module | None) -> str | None:
    """A layer's name as it is, a module's own; ``AblationError`` for a module of another network
    and for the network itself."""
    if layer is None or isinstance(layer, str):
        return layer
    if not isinstance(layer, nn.Module):
        raise AblationError(f"a layer is a name or a module, found {type(layer).__name__}")
    for name, part in model.module.named_modules():
        if part is layer and name:
            return str(name)
    kind = type(layer).__name__
    raise AblationError(f"the layer, a {kind}, is no part of {model.name}; give its name or module")


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
        case.logits[0],
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
