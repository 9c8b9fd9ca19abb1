"""The second half of a model computed only where the score looks, and only what differs.

A score reads the pixels of M. Walking back through the decoder, only the pixels that those read are
computed, as compact rows: gather, then one matrix product (``steps``). What all items share is
computed once (``shared``). Neither is an approximation, and neither is trusted: null item and
ablated items go through the same products, and the null control and spot check of every explanation
compare them with the plain model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from agent.ablation.core.regions import Mask
from agent.ablation.rows import geometry
from agent.ablation.rows.operation import LAYER, Input, Layout, Operation, Step, Work, padded
from agent.ablation.rows.parallel_batches import even_batch
from agent.ablation.rows.shared import Shared, changes
from agent.ablation.rows.values import Value
from agent.ablation.split.trace import CutError

BATCH = 64
"""Items a pass at most, if they fit."""
ROWS_BYTES = 6 << 20
"""Of the largest rows of a pass: beyond, they leave the cache from one operation to the next. Few
items a pass cost time as well, since each operation is called once a pass. Measured with 1 MiB of a
core's own cache and 64 channels of the shipped model: 72 at a time (8 MiB) 100 ms, 36 84 ms, 13 90
ms; whole maps (1.1 MiB each) 5 at a time 15 % faster than 2."""


class Program:
    """One picture laid out for the pixels ``need`` (h, w) of the output, P of them.

    ``single``: items are single channels, and whole layers among them (``run_channels``); otherwise
    each brings a whole layer of its own (``run_maps``). At most ``batch`` items at a time, fewer
    where that suits ``items`` in all and their rows (``ROWS_BYTES``); both give (n, classes, P) of
    the model's raw output, pixels in raster order. ``keep``: for ``run_and_keep``.
    ``CutError`` for a half it cannot lay out.
    """

    def __init__(
        self,
        picture: Shared,
        need: Mask,
        batch: int,
        *,
        single: bool,
        items: int | None = None,
        keep: bool = False,
    ) -> None:
        self._operations: Sequence[Operation] = picture.operations
        self._like = picture.prepared.activation
        self._device = self._like.device
        self._values = picture.values(single=single)
        if self._values[-1].size != need.shape:
            raise CutError("the output is on another grid than the input")
        self._last_reader: dict[int, int] = {}
        self._needs = self._walk_back(need)
        self.batch = batch if items is None else self._suited(batch, items)
        self._offsets = {
            place: value.offset.flatten(2)[0].t().contiguous()
            for place, value in enumerate(self._values)
            if keep and value.offset is not None
        }
        self._steps = self._compiled()
        self._let_go: dict[int, list[int]] = {}  # whose rows nobody reads after which operation
        for source, reader in self._last_reader.items():
            self._let_go.setdefault(reader, []).append(source)
        last = self._values[-1].stored
        if last is None:
            raise CutError("the output does not depend on the layer")
        self._count = last.count
        chosen = last.where[np.flatnonzero(need)]
        rows = (chosen + np.arange(self.batch)[:, None] * last.count).flatten()
        self._picked: Tensor | None = None  # all of them, in their order
        if not np.array_equal(rows, np.arange(self.batch * last.count)):
            self._picked = torch.from_numpy(rows).to(self._device)

    def run_channels(self, channels: Sequence[int], maps: Tensor | None = None) -> Tensor:
        """Items that each have one channel at its baseline; -1 is the null item. Behind them those
        of ``maps`` (m, K, h, w), whole outputs of the layer."""
        after = 0 if maps is None else len(maps)
        named = [*channels, *([-1] * (self.batch - len(channels)))]
        work = Work(torch.tensor(named, device=self._device), {})
        if maps is not None:
            work.changes = changes(self._operations, self._values, maps)
        rows = self._run(work)
        if not after:
            return rows[: len(channels)]
        return torch.cat((rows[: len(channels)], rows[self.batch - after :]))

    def run_maps(self, maps: Tensor) -> Tensor:
        """(n, K, h, w) outputs of the layer, one per item."""
        count = len(maps)
        if count < self.batch:
            maps = torch.cat((maps, maps[-1:].expand(self.batch - count, -1, -1, -1)))
        return self._run(self._of_maps(maps))[:count]

    def _of_maps(self, maps: Tensor) -> Work:
        rows = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
        nothing = torch.empty(0, dtype=torch.long, device=self._device)
        return Work(nothing, {layer_place(self._operations): rows})

    def run_and_keep(
        self, maps: Tensor
    ) -> tuple[dict[int, Tensor], list[Value], dict[int, Tensor]]:
        """Run one item, (1, K, h, w), and keep everything: what convolutions add to every item's
        rows (h * w, O) by operation, what is known of each operation, and all rows."""
        work = self._of_maps(maps)
        for place, step in self._steps:
            work.rows[place] = step(work)
        for place in work.rows:
            stored = self._values[place].stored
            assert stored is not None
            padded(work, place, stored.count)
        return self._offsets, self._values, work.rows

    def _run(self, work: Work) -> Tensor:
        for place, step in self._steps:
            work.rows[place] = step(work)
            for read in self._let_go.get(place, ()):
                work.rows.pop(read, None)
        rows = work.rows[len(self._values) - 1]
        if self._picked is None:
            rows = rows[: self.batch * self._count]
        else:
            rows = rows.index_select(0, self._picked)
        return rows.view(self.batch, -1, rows.shape[1]).transpose(1, 2)

    def _suited(self, most: int, items: int) -> int:
        """Even batches of so many items whose rows stay near."""
        values = (
            int(need.sum()) * operation.width
            for need, operation in zip(self._needs, self._operations, strict=True)
            if need is not None
        )
        fit = ROWS_BYTES // (max(values) * self._like.element_size())
        return even_batch(items, max(1, min(most, fit)), self._device)

    def _walk_back(self, need: Mask) -> list[Mask | None]:
        """Per operation the pixels (h, w) that some needed pixel of the output reads."""
        needs: list[Mask | None] = [None] * len(self._values)
        needs[-1] = need
        for place in reversed(range(len(self._values))):
            wanted, value = needs[place], self._values[place]
            if wanted is None or value.channelwise:
                continue
            if wanted.mean() >= geometry.DENSE_FROM:
                wanted = needs[place] = np.ones_like(wanted)
            for source, read in self._operations[place].reads(wanted, self._values):
                before = needs[source]
                needs[source] = read if before is None else before | read
                self._last_reader.setdefault(source, place)  # walking back meets the last one first
        return needs

    def _compiled(self) -> list[tuple[int, Step]]:
        layout = Layout(self._values, self._needs, self.batch, self._like)
        out: list[tuple[int, Step]] = []
        for place, operation in enumerate(self._operations):
            given = isinstance(operation, Input) or self._values[place].channelwise
            if not given and self._needs[place] is not None:
                out.append((place, operation.step(place, layout)))
        return out


def layer_place(operations: Sequence[Operation]) -> int:
    """Where the ablated layer stands."""
    return next(
        place
        for place, operation in enumerate(operations)
        if isinstance(operation, Input) and operation.index == LAYER
    )
