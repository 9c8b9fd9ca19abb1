"""Patches that hide parts of the input: only what a patch reaches and M can see is run again.

A patch changes a rectangle of the input, and every local operation a somewhat larger rectangle of
its output. A pixel of a map is run again for an item only where both hold: it lies in the item's
rectangle, and some pixel of M reads it. Everything else is read off the rows of the picture as it
is, which are kept. Nothing is approximated.

The rows of a batch lie behind the kept ones, pair after pair of (item, pixel).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from agent.ablation.core.regions import Mask
from agent.ablation.rows import geometry
from agent.ablation.rows.geometry import Boxes, Index
from agent.ablation.rows.operation import LAYER, Input, Operation
from agent.ablation.rows.pairs import Pairs, Patched
from agent.ablation.rows.program import Program
from agent.ablation.rows.shared import Shared
from agent.ablation.split.prepared import Prepared
from agent.ablation.split.trace import CutError

Box = tuple[int, int, int, int]
"""(top, left, bottom, right), the last two excluded."""


class PatchProgram:
    """One picture ``x`` (1, C, h, w) laid out for patches, read on the pixels ``need`` (h, w)."""

    def __init__(self, operations: Sequence[Operation], x: Tensor, need: Mask) -> None:
        self._operations = operations
        self._need = np.flatnonzero(need)
        size = (int(x.shape[2]), int(x.shape[3]))
        shared = Shared(operations, Prepared(x, size, ()), torch.zeros_like(x[:, :, :1, :1]))
        program = Program(shared, need, 1, single=False, keep=True)
        self._offsets, self._values, self._kept = program.run_and_keep(x)
        for place in self._kept:
            reason = operations[place].not_patched()
            if reason is not None:
                raise CutError(reason)
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
        run = Patched(self._values, self._offsets, self._x)
        rectangles: list[Boxes] = []
        for place, operation in enumerate(self._operations):
            rectangles.append(self._reach(place, operation, rectangles, boxes))
            if place not in self._kept:
                continue  # an upsampling that the convolution after it takes in
            found = self._pairs(place, rectangles[place], operation.phases(self._values))
            if isinstance(operation, Input):
                other = instead.permute(1, 2, 0).reshape(-1, instead.shape[0])
                new = other.index_select(0, run.tensor(found.pixel))
            else:
                new = operation.patched(place, found, run)
            run.pairs[place], run.rows[place] = found, torch.cat((self._kept[place], new))
        last = len(self._operations) - 1
        index = run.tensor(run.pairs[last].table[:, self._need].flatten())
        rows = run.rows[last].index_select(0, index)
        return rows.view(len(boxes), self._need.size, -1).transpose(1, 2)

    def _reach(
        self, place: int, operation: Operation, before: Sequence[Boxes], boxes: Sequence[Box]
    ) -> Boxes:
        """(items, 4): the rectangle of an operation's output that each box changes."""
        if isinstance(operation, Input) and operation.index == LAYER:
            return np.array(boxes, np.int64)
        found = operation.reach([before[source] for source in operation.sources])
        return found.clip(0, np.tile(self._values[place].size, 2))

    def _pairs(self, place: int, rectangles: Boxes, factor: int) -> Pairs:
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
            phase = geometry.phase_of(pixel, stored.size[1], factor)
            order = np.argsort(phase, kind="stable")
            item, pixel = item[order], pixel[order]
        base = np.append(np.where(stored.where >= 0, stored.where, stored.count), stored.count)
        table = np.repeat(base[None].astype(np.int32), len(rectangles), axis=0)
        table[item, pixel] = stored.count + 1 + np.arange(item.size)
        return Pairs(item, pixel, table)
