"""Steps of local operations and joins: rows of what they read, whatever is known of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agent.ablation.core.regions import Mask
from agent.ablation.rows import geometry
from agent.ablation.rows.building import Builder, Step, Work, add_changes, with_zero
from agent.ablation.rows.geometry import Index, Stored
from agent.ablation.rows.local import Join, Local
from agent.ablation.rows.shared import Value


@dataclass(frozen=True, slots=True)
class Source:
    """All of an operation's output on what is ``stored``, its constant and its change included."""

    stored: Stored
    rows: Step


class LocalSteps(Builder):
    """Builders of steps for one picture and one size of batch."""

    def __init__(self, values: list[Value], batch: int, like: Tensor) -> None:
        super().__init__(values, batch, like.device)
        self._like = like

    def local(self, place: int, local: Local, need: Mask | None) -> Step:
        before, stored = self._source(local.source, need), self._stored(place)
        batch = self._batch
        if stored.raster and before.stored.raster:

            def dense(work: Work) -> Tensor:
                rows = before.rows(work)[:-1]
                maps = rows.view(batch, *local.before, -1).permute(0, 3, 1, 2)
                found = local.dense(maps).permute(0, 2, 3, 1)
                return with_zero(found.reshape(-1, rows.shape[1]))

            return dense
        taps = local.taps(stored.pixels)
        where = np.where(taps < 0, -1, before.stored.where[taps])
        index = self._index(where, before.stored)
        weights = np.tile(local.weights(stored.pixels), (batch, 1))
        counts = self._tensor(np.pad(weights, ((0, 1), (0, 0)))).to(self._like)

        def step(work: Work) -> Tensor:
            out = local.of_rows(before.rows(work), index, counts)
            out[-1].zero_()
            return out

        return step

    def join(self, place: int, join: Join, needs: tuple[Mask | None, Mask | None]) -> Step:
        stored = self._stored(place)
        first, second = (
            self._placed(self._source(source, need), stored)
            for source, need in zip(join.sources, needs, strict=True)
        )
        return lambda work: join.function(first(work), second(work))

    def _placed(self, before: Source, stored: Stored) -> Step:
        """The rows of a source as the rows of the output lie; one pixel is that of all."""
        pixels = stored.pixels
        if before.stored.size != stored.size:
            pixels = np.zeros_like(pixels)
        where = before.stored.where[pixels]
        if before.stored.count == stored.count and np.array_equal(where, np.arange(where.size)):
            return before.rows
        index = self._index(where[:, None], before.stored).flatten()
        return lambda work: before.rows(work).index_select(0, index)

    def _source(self, place: int, need: Mask | None) -> Source:
        value = self._values[place]
        if value.channelwise or value.stored is None:
            assert need is not None
            stored = geometry.kept(need)
            constant = self._constant(value, stored.pixels)
            return Source(stored, self._changed(place, stored, constant))
        if value.constant is None:
            return Source(value.stored, lambda work: self._padded(work, place))
        pixels = np.maximum(geometry.inverse(value.stored), 0)  # a place of no pixel: nobody reads
        return Source(value.stored, self._shifted(place, self._constant(value, pixels)))

    def _constant(self, value: Value, pixels: Index) -> Tensor:
        assert value.constant is not None
        return value.constant.flatten(2)[0].t().index_select(0, self._tensor(pixels))

    def _changed(self, number: int, stored: Stored, constant: Tensor) -> Step:
        """The same for all items but for what each of them changes, if anything."""
        batch, count, value = self._batch, stored.count, self._values[number]
        rows = with_zero(constant.repeat(batch, 1))
        if not value.channelwise:
            return lambda _work: rows
        assert value.change is not None
        pixels = self._tensor(stored.pixels)
        change = value.change.index_select(1, pixels)

        def step(work: Work) -> Tensor:
            out = rows.clone()
            body = out[:-1].view(batch, count, -1)
            changed = work.channels.clamp_min(0)
            added = change.index_select(0, changed) * (work.channels >= 0)[:, None]
            place = changed.view(-1, 1, 1).expand(batch, count, 1)
            body.scatter_add_(2, place, added[..., None])
            if number in work.changes:
                add_changes(body, work.changes[number], pixels)
            return out

        return step

    def _shifted(self, place: int, constant: Tensor) -> Step:
        """Rows of an upsampled map: its bias has not been added yet."""
        batch = self._batch

        def step(work: Work) -> Tensor:
            rows = work.rows[place]
            out = rows.new_zeros((batch * len(constant) + 1, rows.shape[1]))
            body = rows[: batch * len(constant)].view(batch, len(constant), -1)
            torch.add(body, constant, out=out[:-1].view_as(body))
            return out

        return step
