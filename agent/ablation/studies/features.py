"""Features that the user draws: superpixels of the picture, any parts of the layer.

A mask of integers says which feature a pixel or cell belongs to; each value is one. One feature
after the other is hidden, and every part of the mask has the drop of its feature. With a fill or
baseline of zero those are the definitions of feature ablation and layer feature ablation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from agent.ablation.core.errors import AblationError
from agent.ablation.core.perturbation import Item
from agent.ablation.core.regions import Mask, at_places
from agent.ablation.run.batching import Tick
from agent.ablation.run.fills import Fill, check_hidden, fill_named, filled, hidden_runs
from agent.ablation.studies.context import StudyContext, Values

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class InputFeatures:
    """``mask`` (H, W) of integers from 0, of the picture's own size: superpixels, say. A feature is
    hidden by ``fill``, inside the aperture alone. ``AblationError`` for any other mask."""

    mask: NDArray[np.integer]
    fill: Fill = Fill.BLUR

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", _checked(self.mask, "of the input", (2,)))
        object.__setattr__(self, "fill", fill_named(self.fill))


@dataclass(frozen=True, slots=True, eq=False)
class LayerFeatures:
    """``mask`` of integers from 0 on the layer's grid: (gh, gw), where a feature is cells of all
    channels; (K, gh, gw), where each channel has cells of its own; or (K, 1, 1), where it is whole
    channels. Those are set to the baseline, whether inside the aperture or not.
    ``AblationError`` for any other mask."""

    mask: NDArray[np.integer]

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", _checked(self.mask, "of the layer", (2, 3)))


@dataclass(frozen=True, slots=True)
class FeatureDrops:
    """``ids`` (F,), the values of the mask in rising order; ``sizes`` (F,), how many pixels of the
    network's input or values of the layer each hides; ``drop`` (F,) float64 of the score, NaN where
    that is none. ``map`` float32 is the mask on the network's or the layer's grid, each part with
    the drop of its feature, NaN where nothing was hidden."""

    ids: Ids
    sizes: Ids
    drop: NDArray[np.float64]
    map: NDArray[np.float32]


def input_features(wanted: InputFeatures, context: StudyContext, tick: Tick) -> Values:
    """Every feature of the picture hidden, through the whole model, read on M alone where the score
    is. One is run again through the plain model."""
    case, targets = context.case, context.job.ledger.targets
    if wanted.mask.shape != case.size:
        raise AblationError(
            f"the mask of features is {_extent(wanted.mask)} pixels, the picture "
            f"{case.size[1]} x {case.size[0]}"
        )
    ids, numbered = _numbered(wanted.mask)
    grid = (case.aperture.shape[0], case.aperture.shape[1])
    drawn = np.where(case.aperture, at_places(numbered, grid), -1)
    sizes = np.bincount(drawn[drawn >= 0], minlength=ids.size)
    there = np.flatnonzero(sizes)
    if there.size == 0:
        raise AblationError("no feature of the mask has a pixel inside the aperture")
    reads_all = any(t.score.reads_all for t in targets)
    needed = torch.from_numpy(case.aperture).to(case.x.device)
    if not reads_all:
        needed = torch.stack([t.region for t in targets]).any(0)
    reader = context.whole_model.reader(case, needed, targets, there.size)
    instead = filled(case, wanted.fill)
    masks = (np.asarray(drawn == number, np.bool_) for number in there)
    drops = np.full((len(targets), ids.size), np.nan)
    runs = hidden_runs(reader, case, masks, instead, tick)
    for number, rows in zip(there, runs, strict=True):
        for place, target in enumerate(reader.seen.targets):
            drops[place, number] = float(target.score.drop(reader.base[0], rows, target)[0])
    spot = there[context.case.spot(there.size)]
    check_hidden(
        context.whole_model.model,
        case,
        reader.seen,
        np.asarray(drawn == spot, np.bool_),
        instead,
        f"feature {ids[spot]} of the input",
        drops[:, spot].tolist(),
    )
    return [{"input_features": _found(ids, sizes, row, drawn)} for row in drops]


def layer_features(wanted: LayerFeatures, context: StudyContext, tick: Tick) -> Values:
    """Every feature of the layer ablated, as items like any other; one is run again plainly."""
    job = context.job
    _, depth, height, width = job.activation.shape
    mask = wanted.mask
    if mask.shape not in ((height, width), (depth, height, width), (depth, 1, 1)):
        raise AblationError(
            f"the mask of features is {_extent(mask)}, the layer {width} x {height} cells and "
            f"{depth} channels: it must be ({height}, {width}), ({depth}, {height}, {width}) or "
            f"({depth}, 1, 1)"
        )
    ids, numbered = _numbered(mask)
    whole = np.broadcast_to(numbered, (depth, height, width))
    sizes = np.bincount(whole.ravel(), minlength=ids.size)

    def items() -> Iterator[Item]:
        for number in range(ids.size):
            yield _item(numbered == number)

    drops = job.drops(items(), tick)
    spot = context.case.spot(ids.size)
    name = f"feature {ids[spot]} of the layer"
    job.check(_item(numbered == spot), name, drops[:, spot].tolist())
    return [{"layer_features": _found(ids, sizes, row, numbered)} for row in drops]


def _item(cells: Mask) -> Item:
    if cells.shape[-2:] == (1, 1) and cells.ndim == 3:
        return Item(channels=tuple(int(k) for k in np.flatnonzero(cells)))
    return Item(cells=cells)


def _found(ids: Ids, sizes: Ids, drop: NDArray[np.float64], numbered: Ids) -> FeatureDrops:
    shown = np.where(numbered >= 0, drop[numbered], np.nan)
    return FeatureDrops(ids, sizes, drop, shown.astype(np.float32))


def _numbered(mask: NDArray[np.integer]) -> tuple[Ids, Ids]:
    """The values in rising order, and the mask with each one's place among them."""
    ids, places = np.unique(mask, return_inverse=True)
    return ids.astype(np.int64), places.reshape(mask.shape).astype(np.int64)


def _checked(
    mask: NDArray[np.integer], what: str, dimensions: tuple[int, ...]
) -> NDArray[np.integer]:
    found = np.asarray(mask)
    if found.dtype.kind not in "iu":
        raise AblationError(
            f"a mask of features {what} must be of integers, each value a feature; found "
            f"{found.dtype}"
        )
    if found.ndim not in dimensions:
        raise AblationError(
            f"a mask of features {what} must have {' or '.join(map(str, dimensions))} dimensions, "
            f"found shape {found.shape}"
        )
    if found.size == 0:
        raise AblationError(f"a mask of features {what} has no cell: its shape is {found.shape}")
    if int(found.min()) < 0:
        raise AblationError(
            f"a mask of features {what} holds {int(found.min())}: features are numbered from 0"
        )
    return found


def _extent(mask: NDArray[np.integer]) -> str:
    """(H, W) as ``W x H``, and any further dimension in front as it is."""
    height, width = mask.shape[-2:]
    return "".join(f"{n} channels of " for n in mask.shape[:-2]) + f"{width} x {height}"
