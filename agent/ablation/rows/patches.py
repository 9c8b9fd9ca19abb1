"""Patches that hide parts of the input: only what a patch reaches and M can see is run again.

A patch changes a rectangle of the input, and every local operation a somewhat larger rectangle of
its output. A pixel of a map is run again for an item only where both hold: it lies in the item's
rectangle, and some pixel of M reads it. Everything else is read off the rows of the picture as it
is, which are kept. Nothing is approximated.

The rows of a batch lie behind the kept ones, pair after pair of (item, pixel).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.core.regions import Mask
from agent.ablation.rows import geometry
from agent.ablation.rows.gathering import gathered
from agent.ablation.rows.geometry import Index
from agent.ablation.rows.local import Join, Local
from agent.ablation.rows.ops import (
    Affine,
    Apply,
    Conv,
    Layer,
    Operation,
    Pool,
    Up,
)
from agent.ablation.rows.program import Program
from agent.ablation.rows.shared import Shared, usable
from agent.ablation.rows.weights import Merged, Slice, WeightLayout
from agent.ablation.split.prepared import Prepared
from agent.ablation.split.trace import CutError

Box = tuple[int, int, int, int]
"""(top, left, bottom, right), the last two excluded."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """The (item, pixel) pairs that are run again at one operation; ``table`` (items, h * w) is the
    row of every pixel for every item, the last column that of everything outside the picture."""

    item: Index
    pixel: Index
    table: NDArray[np.int32]


class PatchProgram:
    """One picture ``x`` (1, C, h, w) laid out for patches, read on the pixels ``need`` (h, w)."""

    def __init__(self, layout: WeightLayout, x: Tensor, need: Mask) -> None:
        self._layout = layout
        self._need = np.flatnonzero(need)
        size = (int(x.shape[2]), int(x.shape[3]))
        shared = Shared(layout, Prepared(x, size, ()), torch.zeros_like(x[:, :, :1, :1]))
        program = Program(shared, need, 1, single=False, keep=True)
        self._offsets, self._values, self._kept = program.run_and_keep(x)
        for place, operation in enumerate(layout.operations):
            if isinstance(operation, Up) and self._values[place].stored is not None:
                raise CutError("an upsampling that no convolution takes in")
            if isinstance(operation, Local) and operation.everywhere:
                raise CutError("a pooling over everything")
        self._x = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])

    @property
    def base(self) -> Tensor:
        """(1, classes, P) raw output of the picture as it is, on the pixels of ``need``."""
        last = len(self._values) - 1
        stored = self._values[last].stored
        assert stored is not None
        index = torch.from_numpy(stored.where[self._need])
        return self._kept[last].index_select(0, index.to(self._x.device)).t()[None]

    def run(self, boxes: Sequence[Box], instead: Tensor) -> Tensor:
        """(n, classes, P) raw output with each box in turn showing ``instead`` (C, h, w)."""
        rows: dict[int, Tensor] = {}
        pairs: dict[int, Pairs] = {}
        rectangles: dict[int, NDArray[np.int64]] = {}
        other = instead.permute(1, 2, 0).reshape(-1, instead.shape[0])
        for place, operation in enumerate(self._layout.operations):
            rectangles[place] = self._reach(place, operation, rectangles, boxes)
            if place not in self._kept:
                continue  # an upsampling that the convolution after it takes in
            if isinstance(operation, Layer):
                found = self._pairs(place, rectangles[place], 1)
                new = other.index_select(0, self._tensor(found.pixel))
            else:
                factor = max((up.factor for _, up in self._merged(place)), default=1)
                found = self._pairs(place, rectangles[place], factor)
                new = self._new(place, operation, found, pairs, rows)
            pairs[place], rows[place] = found, torch.cat((self._kept[place], new))
        last = len(self._layout.operations) - 1
        index = self._tensor(pairs[last].table[:, self._need].flatten())
        return (
            rows[last].index_select(0, index).view(len(boxes), self._need.size, -1).transpose(1, 2)
        )

    def _merged(self, place: int) -> list[tuple[Slice, Merged]]:
        found = ((s, usable(s, self._values)) for s in self._layout.slices.get(place, ()))
        return [(piece, up) for piece, up in found if up is not None]

    def _reach(
        self,
        place: int,
        operation: Operation,
        before: dict[int, NDArray[np.int64]],
        boxes: Sequence[Box],
    ) -> NDArray[np.int64]:
        """(items, 4): the rectangle of an operation's output that each box changes."""
        match operation:
            case Layer():
                return np.array(boxes, np.int64)
            case Conv():
                read = np.stack([before[source] for source in operation.sources])
                first, last = read[..., :2].min(0), read[..., 2:].max(0)
                stride, padding = np.array(operation.stride), np.array(operation.padding)
                span = np.array(operation.dilation) * (np.array(operation.kernel) - 1)
                first = -((-(first + padding - span)) // stride)
                last = (last - 1 + padding) // stride + 1
            case Up(source, _, _, factor):
                return before[source] * factor
            case Pool(source, factor):
                first, last = before[source][:, :2] // factor, -(-before[source][:, 2:] // factor)
            case Apply(source, _) | Affine(source, _, _):
                return before[source]
            case Local(source):
                return operation.reach(before[source])
            case Join((one, other)):
                first = np.minimum(before[one][:, :2], before[other][:, :2])
                last = np.maximum(before[one][:, 2:], before[other][:, 2:])
            case _:
                raise CutError("an input beside the picture")
        size = np.array(self._values[place].size)
        return np.concatenate((first.clip(0, size), last.clip(0, size)), axis=1)

    def _pairs(self, place: int, rectangles: NDArray[np.int64], factor: int) -> Pairs:
        """The pairs of an operation, ordered by phase where it has phases, and everyone's rows."""
        stored = self._values[place].stored
        assert stored is not None
        where = stored.where.reshape(stored.size)
        items: list[Index] = []
        pixels: list[Index] = []
        for number, (top, left, bottom, right) in enumerate(rectangles.tolist()):
            r, c = np.nonzero(where[top:bottom, left:right] >= 0)
            pixels.append((r + top) * stored.size[1] + c + left)
            items.append(np.full(r.size, number))
        item, pixel = np.concatenate(items), np.concatenate(pixels)
        if factor > 1:
            row, column = np.divmod(pixel, stored.size[1])
            order = np.argsort((row % factor) * factor + column % factor, kind="stable")
            item, pixel = item[order], pixel[order]
        base = np.append(np.where(stored.where >= 0, stored.where, stored.count), stored.count)
        table = np.repeat(base[None].astype(np.int32), len(rectangles), axis=0)
        table[item, pixel] = stored.count + 1 + np.arange(item.size)
        return Pairs(item, pixel, table)

    def _new(
        self,
        place: int,
        operation: Operation,
        own: Pairs,
        pairs: dict[int, Pairs],
        rows: dict[int, Tensor],
    ) -> Tensor:
        """(pairs, channels): an operation's rows for its pairs."""
        width = self._values[place].size[1]
        match operation:
            case Conv():
                return self._conv(place, operation, own, pairs, rows)
            case Pool(source, factor):
                stored = geometry.everything(self._values[source].size)
                taps = geometry.pool_taps(own.pixel, width, stored, factor)
                index = self._tensor(pairs[source].table[own.item[:, None], taps].flatten())
                return rows[source].index_select(0, index).view(*taps.shape, -1).amax(1)
            case Apply(source, act):
                index = self._tensor(pairs[source].table[own.item, own.pixel])
                return act(rows[source].index_select(0, index))
            case Affine(source, scale, shift):
                index = self._tensor(pairs[source].table[own.item, own.pixel])
                return rows[source].index_select(0, index) * scale + shift
            case Local(source):
                index = self._tensor(
                    _looked_up(pairs[source].table, own.item, operation.taps(own.pixel))
                )
                weights = self._tensor(operation.weights(own.pixel)).to(self._x)
                return operation.of_rows(rows[source], index, weights)
            case Join((first, second)):
                both = (
                    rows[source].index_select(
                        0, self._tensor(pairs[source].table[own.item, own.pixel])
                    )
                    for source in (first, second)
                )
                return operation.function(*both)
            case _:
                raise CutError("an operation that is not local")

    def _conv(
        self, place: int, conv: Conv, own: Pairs, pairs: dict[int, Pairs], rows: dict[int, Tensor]
    ) -> Tensor:
        out = self._offsets[place].index_select(0, self._tensor(own.pixel))
        size = self._values[place].size
        for piece in self._layout.slices[place]:
            up = usable(piece, self._values)
            if up is None:
                before = self._values[piece.source].size
                near = geometry.conv_neighbours(before, size, conv.kernel, *conv.walk)
                taps = near[own.pixel]
                self._add(out, own.item, taps, (piece.source, piece.rows), pairs, rows)
                continue
            before = self._values[up.source].size
            row, column = np.divmod(own.pixel, size[1])
            number = (row % up.factor) * up.factor + column % up.factor
            ends = np.searchsorted(number, np.arange(len(up.phases) + 1))
            for phase, start, stop in zip(up.phases, ends[:-1], ends[1:], strict=True):
                if start < stop:
                    near = geometry.phase_neighbours(before, size, up.factor, phase.taps)
                    taps = near[own.pixel[start:stop]]
                    part, item = out[start:stop], own.item[start:stop]
                    self._add(part, item, taps, (up.source, phase.rows), pairs, rows)
        return out if conv.act is None else conv.act(out)

    def _add(
        self,
        out: Tensor,
        item: Index,
        taps: NDArray[np.int32],
        what: tuple[int, Tensor],
        pairs: dict[int, Pairs],
        rows: dict[int, Tensor],
    ) -> None:
        """Add what the ``taps`` (P, T), pixels of a source or -1, give through its weights."""
        source, weight = what
        index = self._tensor(_looked_up(pairs[source].table, item, taps))
        values = rows[source]
        out.add_(gathered(index, values.shape[1], weight)(values))

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._x.device)


def _looked_up(
    table: NDArray[np.int32], item: Index, pixel: NDArray[np.signedinteger]
) -> NDArray[np.int32]:
    """``table`` (items, pixels) at (n,) items and their (n, T) pixels; -1 is the last column."""
    count = table.shape[1]
    start = (item * count).astype(np.int32)[:, None]
    found: NDArray[np.int32] = table.ravel().take(start + np.where(pixel < 0, count - 1, pixel))
    return found
