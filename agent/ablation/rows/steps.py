"""Steps of upsampling, pooling and element-wise functions.

Each builder takes what is known of a picture and returns a step: a function that turns the rows of
an operation's sources into its own.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agent.ablation.core.regions import Mask
from agent.ablation.rows import geometry
from agent.ablation.rows.building import Builder, Step, Work, add_changes, maps_of, rows_of
from agent.ablation.rows.elementwise import Pointwise
from agent.ablation.rows.ops import Pool, Up
from agent.ablation.rows.products import Chunks
from agent.ablation.rows.shared import Value


class Steps(Builder):
    """Builds the steps of one picture and one size of batch."""

    def up(self, place: int, up: Up, need: Mask | None) -> Step:
        """Each place becomes ``factor`` squared places; the bias is part of the constant."""
        weight = up.weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous()
        value, before, out = self._values[place], self._values[up.source], up.weight.shape[1]
        if before.channelwise:
            return self._single_up(up, weight.t().contiguous(), value, before, need)
        source = self._stored(up.source)
        value.stored = geometry.after_up(source, up.factor)
        chunks = Chunks(self._batch * source.count + 1, 1, weight.shape[1])

        def step(work: Work) -> Tensor:
            rows = self._padded(work, up.source)

            def fill(part: slice, _block: int, scratch: Tensor) -> None:
                some = rows[: chunks.rows][part]
                scratch[: len(some)] = some

            return chunks.product(weight, fill).view(-1, out)

        return step

    def pool(self, place: int, pool: Pool) -> Step:
        source, stored, batch = self._stored(pool.source), self._stored(place), self._batch
        if source.raster and stored.raster:

            def whole(work: Work) -> Tensor:
                x = maps_of(work.rows[pool.source], source, batch)
                return rows_of(F.max_pool2d(x, pool.factor))

            return whole
        taps = geometry.pool_taps(stored.pixels, stored.size[1], source, pool.factor)
        index = self._index(taps, source)

        def step(work: Work) -> Tensor:
            rows = self._padded(work, pool.source).index_select(0, index.flatten())
            return rows.view(*index.shape, -1).amax(1)

        return step

    def apply(self, place: int, source: int, act: Pointwise) -> Step:
        """An element-wise function; its rows lie as those of ``source`` do."""
        stored = self._stored(place)
        constant, shift = self._values[source].constant, None
        if constant is not None:  # an upsampled map: its bias has not been added yet
            pixels = self._tensor(np.maximum(geometry.inverse(stored), 0))
            shift = constant.flatten(2)[0].t().index_select(0, pixels)
        batch, count = self._batch, stored.count

        def step(work: Work) -> Tensor:
            rows = work.rows[source]
            out = rows.new_zeros((batch * count + 1, rows.shape[1]))
            body = rows[: batch * count].view(batch, count, -1)
            body = body if shift is None else body + shift
            out[:-1] = act(body).reshape(batch * count, -1)
            return out

        return step

    def _single_up(
        self, up: Up, weight: Tensor, value: Value, before: Value, need: Mask | None
    ) -> Step:
        """One channel upsampled: its change at each place times its (factor^2 * O,) weights."""
        assert before.change is not None
        assert need is not None
        source = geometry.kept(need)
        change = F.pad(before.change[:, self._tensor(source.pixels)], (0, 0, 0, 1))
        value.stored = geometry.after_up(source, up.factor)
        batch, count, out = self._batch, source.count, up.weight.shape[1]
        pixels = self._tensor(np.maximum(geometry.inverse(value.stored), 0))

        def step(work: Work) -> Tensor:
            changed = torch.where(work.channels < 0, len(weight), work.channels)
            weights = weight.index_select(0, work.channels.clamp_min(0))
            rows = weight.new_zeros((batch * count + 1, weight.shape[1]))
            body = rows[:-1].view(batch, count, -1)
            torch.mul(change.index_select(0, changed)[:, :, None], weights[:, None, :], out=body)
            maps = work.changes.get(up.source)
            if maps is not None:
                grown = F.conv_transpose2d(maps, up.weight, None, up.factor)
                add_changes(body.view(batch, -1, out), grown, pixels)
            return rows.view(-1, out)

        return step
