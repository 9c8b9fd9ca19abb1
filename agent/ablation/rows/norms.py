"""Norms by an item's own statistics, in rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, fx, nn

from agent.ablation.core.regions import Mask
from agent.ablation.rows import geometry
from agent.ablation.rows.geometry import Boxes, Size
from agent.ablation.rows.graph import Reading
from agent.ablation.rows.operation import (
    Layout,
    Operation,
    Pixelwise,
    Step,
    Work,
    maps_of,
    rows_of,
    with_zero,
)
from agent.ablation.rows.pairs import Pairs, Patched
from agent.ablation.rows.values import Inputs, Value
from agent.ablation.split.trace import CutError

PARAMETERS = ("weight", "bias", "eps")
EPS = 1e-5
"""What torch's functions take where nothing is said."""


def _parameters(given: Mapping[str, Any]) -> tuple[Tensor | None, Tensor | None, float]:
    return given.get("weight"), given.get("bias"), given.get("eps", EPS)


@dataclass(frozen=True, slots=True, eq=False)
class _Norm(Operation):
    """``weight`` and ``bias`` (C,), where it has them, after mean and variance are taken off."""

    weight: Tensor | None
    bias: Tensor | None
    eps: float

    def size(self, before: Sequence[Size]) -> Size:
        return before[0]

    def value(self, place: int, before: Sequence[Value], inputs: Inputs) -> Value:
        return Value(before[0].size)


@dataclass(frozen=True, slots=True, eq=False)
class LayerNorm(Pixelwise, _Norm):
    """Over the channels of each pixel (Ba, Kiros and Hinton, Layer Normalization, 2016)."""

    @classmethod
    def lower(cls, reading: Reading, node: fx.Node, part: nn.LayerNorm | None) -> None:
        given = reading.arguments(node, ("normalized_shape", *PARAMETERS), part)
        source = reading.pixelwise(node.args[0])
        width = reading.width(source)
        if tuple(given["normalized_shape"]) != (width,) or not reading.last(node.args[0]):
            raise CutError(f"{node}: a norm over other axes than the channels")
        norm = cls((source,), width, *_parameters(given))
        reading.add_pixelwise(node, node.args[0], norm)

    def of_rows(self, rows: Tensor) -> Tensor:
        return F.layer_norm(rows, (self.width,), self.weight, self.bias, self.eps)


@dataclass(frozen=True, slots=True, eq=False)
class GroupNorm(_Norm):
    """Over all pixels of each of ``groups`` groups of channels (Wu and He, ECCV 2018): every pixel
    of the output reads the whole map."""

    groups: int

    @classmethod
    def lower(cls, reading: Reading, node: fx.Node, part: nn.GroupNorm | None) -> None:
        given = reading.arguments(node, ("num_groups", *PARAMETERS), part)
        source = reading.single(node.args[0])
        norm = cls((source,), reading.width(source), *_parameters(given), given["num_groups"])
        reading.add(node, norm)

    def read(self, need: Mask, size: Size) -> Mask:
        return np.ones(size, np.bool_)

    def reach(self, before: Sequence[Boxes]) -> Boxes:
        raise CutError("a norm over everything")

    def not_patched(self) -> str | None:
        return "a norm over everything"

    def step(self, place: int, layout: Layout) -> Step:
        before, batch = layout.source(self.sources[0]), layout.batch
        stored = layout.values[place].stored = geometry.kept(layout.need(place))
        order, everything = layout.order(before.stored), geometry.everything(stored.size)
        picked = None if stored.raster else layout.index(stored.pixels[:, None], everything)[:-1, 0]

        def step(work: Work) -> Tensor:
            rows = before.rows(work)
            if order is not None:
                rows = rows.index_select(0, order)
            # Channels last, torch's norm keeps no digit of a map that is nearly flat.
            maps = maps_of(rows, everything, batch).contiguous()
            found = rows_of(F.group_norm(maps, self.groups, self.weight, self.bias, self.eps))
            return found if picked is None else with_zero(found.index_select(0, picked))

        return step

    def patched(self, place: int, own: Pairs, run: Patched) -> Tensor:
        raise CutError("a norm over everything")
