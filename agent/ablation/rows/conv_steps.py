"""Steps of convolutions: what a convolution gives for each item, source by source.

A source's share is one of these: a plain convolution of whole maps, rows that are gathered and
multiplied, tiles (``winograd``), or an upsampling and the convolution in one (``Merged``). What a
single channel changes is added by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agent.ablation.rows import geometry, winograd
from agent.ablation.rows.building import Builder, Step, Work, add_changes, maps_of, rows_of
from agent.ablation.rows.convolution import applied, convolved, upsampled
from agent.ablation.rows.elementwise import Pointwise
from agent.ablation.rows.gathering import Rows, gathered
from agent.ablation.rows.geometry import Index, Stored
from agent.ablation.rows.ops import Conv
from agent.ablation.rows.products import product
from agent.ablation.rows.shared import Value, usable
from agent.ablation.rows.weights import Merged, Phase, Slice, WeightLayout
from agent.ablation.rows.winograd import Task, Tiled

Adder = Callable[[Work, Tensor, Tensor], None]
"""Writes what a part of a convolution gives, added to the third argument, to the second: (batch,
P, O), where the third is (P, O) or the second itself."""
Added = Callable[[Work, Tensor], None]
"""Adds what items change to (batch, P, O)."""


class ConvSteps(Builder):
    """Builds the steps of convolutions for one picture and one size of batch."""

    def __init__(
        self, layout: WeightLayout, values: list[Value], batch: int, device: torch.device
    ) -> None:
        super().__init__(values, batch, device)
        self._layout = layout

    def conv(self, place: int, conv: Conv) -> Step:
        """Offset, plus each source's share, plus what single channels change; then the function."""
        value, batch, out = self._values[place], self._batch, len(conv.weight)
        pieces, offset = self._layout.slices[place], value.offset
        assert offset is not None
        ups = [usable(piece, self._values) for piece in pieces]
        stored = self._stored(place)
        groups: list[Index] = []
        factor = next((up.factor for up in ups if up is not None), 1)
        if factor > 1 and not stored.raster:
            stored, groups = geometry.by_phase(stored, factor)
            value.stored = stored
        alone = self._alone(conv, stored, pieces, ups, offset)
        if alone is not None:
            value.offset = None
            return alone
        count = stored.count
        constant = offset.flatten(2)[0].t().index_select(0, self._tensor(stored.pixels))
        shares: list[Step] = []
        parts: list[Adder] = []
        singles: list[Added] = []
        for piece, up in zip(pieces, ups, strict=True):
            source = self._values[piece.source]
            if source.channelwise:
                singles.append(self._single(conv, stored, source, piece))
            elif up is not None and stored.raster:
                shares.append(self._whole_up(up))
            elif up is not None:
                parts.append(self._phases(stored, groups, up))
            elif source.stored is not None:
                shares.append(self._part(conv, stored, source.stored, piece))
        value.offset = None
        if stored.raster and len(shares) == 1 and not parts and not singles:
            return self._in_place(shares[0], constant, conv.act)
        parts += [self._added(share) for share in shares]

        def step(work: Work) -> Tensor:
            rows = constant.new_empty((batch * count + 1, out))
            body = rows[:-1].view(batch, count, out)
            if not parts:
                body.copy_(constant)
            for number, part in enumerate(parts):
                part(work, body, body if number else constant)
            for single in singles:
                single(work, body)
            if conv.act is torch.relu:
                rows[:-1].relu_()
            elif conv.act is not None:
                rows[:-1].copy_(conv.act(rows[:-1]))
            rows[-1].zero_()
            return rows

        return step

    def _in_place(self, share: Step, constant: Tensor, act: Pointwise | None) -> Step:
        """Whole maps of one source: the rest is done to them where they lie."""
        batch, count = self._batch, len(constant)

        def step(work: Work) -> Tensor:
            rows = share(work)[: batch * count]
            rows.view(batch, count, -1).add_(constant)
            return applied(rows, act)

        return step

    def _alone(
        self,
        conv: Conv,
        stored: Stored,
        pieces: Sequence[Slice],
        ups: Sequence[Merged | None],
        offset: Tensor,
    ) -> Step | None:
        """Whole maps of one source and a bias, which the library adds: no pass for the constant."""
        piece, batch = pieces[0], self._batch
        source = self._values[piece.source].stored
        alike = len(pieces) == 1 and ups[0] is None and offset.stride()[2:] == (0, 0)
        if not alike or source is None or not (source.raster and stored.raster):
            return None
        if conv.kernel == (1, 1) or winograd.usable_for(piece.dense):
            return None  # a product of rows, or tiles
        bias, kept = offset[0, :, 0, 0].contiguous(), source

        def step(work: Work) -> Tensor:
            x = maps_of(work.rows[piece.source], kept, batch)
            return rows_of(convolved(x, piece.blocks, bias, conv.walk, conv.act))

        return step

    def _part(self, conv: Conv, stored: Stored, source: Stored, piece: Slice) -> Step:
        """One source's share of a convolution: whole maps where most is needed, else rows."""
        place, width = piece.source, self._layout.widths[piece.source]
        tiled = self._tiled_part(conv, stored, source, piece)
        if tiled is not None:
            return tiled
        if stored.raster:
            order = self._order(source)

            def pointwise(work: Work) -> Tensor:
                return product(work.rows[place], piece.rows)

            if order is None and conv.kernel == (1, 1) == conv.stride and conv.padding == (0, 0):
                return pointwise

            def whole(work: Work) -> Tensor:
                x = self._map(work, place, order)
                return rows_of(convolved(x, piece.blocks, None, conv.walk, None))

            return whole
        taps = geometry.conv_taps(stored.pixels, stored.size[1], source, conv.kernel, *conv.walk)
        run = gathered(self._index(taps, source), width, piece.rows)
        return lambda work: run(self._padded(work, place))

    def _tiled_part(self, conv: Conv, stored: Stored, source: Stored, piece: Slice) -> Step | None:
        """The same in tiles, where that takes fewer operations."""
        if conv.kernel != (3, 3) or not conv.stride == (1, 1) == conv.dilation:
            return None
        width, out, place = self._layout.widths[piece.source], len(conv.weight), piece.source
        estimate = winograd.whole_ns if stored.raster else winograd.gathered_ns
        first = (-conv.padding[0], -conv.padding[1])
        task = Task(stored.pixels, stored.size, 3, first, source, width, out)
        tiled = self._tiled(task, piece.rows, estimate(stored.count, 9, width, out))
        return None if tiled is None else lambda work: tiled(self._padded(work, place))

    def _tiled(self, task: Task, weight: Tensor, plain_ns: float) -> Tiled | None:
        if not winograd.usable_for(weight):
            return None
        cover = winograd.chosen(task, plain_ns)
        if cover is None:
            return None
        return Tiled(task, cover, self._batch, self._layout.kernel(cover.form, weight))

    def _added(self, part: Step) -> Adder:
        """A part that gives the rows of all pixels in their order."""

        def add(work: Work, body: Tensor, to: Tensor) -> None:
            torch.add(part(work)[: body.shape[0] * body.shape[1]].view_as(body), to, out=body)

        return add

    def _whole_up(self, up: Merged) -> Step:
        """An upsampling and a convolution in one, for whole maps."""
        place = up.source
        order = self._order(self._stored(place))

        def step(work: Work) -> Tensor:
            return rows_of(upsampled(self._map(work, place, order), up))

        return step

    def _order(self, source: Stored) -> Tensor | None:
        """Where the pixels of a whole map lie; None where in their own order."""
        if source.raster:
            return None
        return self._index(source.where[:, None], source).flatten()[:-1]

    def _map(self, work: Work, place: int, order: Tensor | None) -> Tensor:
        """Rows of whole maps as (N, C, h, w) in channels-last memory; a view where they are
        raster."""
        source = self._stored(place)
        if order is None:
            return maps_of(work.rows[place], source, self._batch)
        return maps_of(self._padded(work, place).index_select(0, order), source, self._batch)

    def _phases(self, stored: Stored, groups: Sequence[Index], up: Merged) -> Adder:
        """An upsampling and a convolution in one, for the pixels of each phase in turn."""
        runs: list[tuple[slice, Rows]] = []
        start = 0
        for phase, pixels in zip(up.phases, groups, strict=True):
            part = slice(start, start + pixels.size)
            start = part.stop
            if pixels.size:
                runs.append((part, self._phase(stored, pixels, up, phase)))

        def add(work: Work, body: Tensor, to: Tensor) -> None:
            rows = self._padded(work, up.source)
            for part, run in runs:
                some = body[:, part]
                torch.add(run(rows).view(some.shape), to[..., part, :], out=some)

        return add

    def _phase(self, stored: Stored, pixels: Index, up: Merged, phase: Phase) -> Rows:
        """Rows of what is upsampled to those of some pixels of one phase."""
        source, width, taps = self._stored(up.source), self._layout.widths[up.source], phase.taps
        side, out = math.isqrt(len(taps)), len(phase.rows)
        if side > 1 and side**2 == len(taps):
            row, column = np.divmod(pixels, stored.size[1])
            mine = row // up.factor * source.size[1] + column // up.factor
            task = Task(mine, source.size, side, taps[0], source, width, out)
            plain_ns = winograd.gathered_ns(pixels.size, len(taps), width, out)
            tiled = self._tiled(task, phase.rows, plain_ns)
            if tiled is not None:
                return tiled
        found = geometry.phase_taps(pixels, stored.size[1], source, up.factor, taps)
        return gathered(self._index(found, source)[:-1], width, phase.rows)

    def _single(self, conv: Conv, stored: Stored, source: Value, piece: Slice) -> Added:
        """What each item's channel changes at each pixel's taps times its weights; for an item of
        whole maps the convolution of all that it changes."""
        assert source.change is not None
        everything = geometry.everything(source.size)
        taps = geometry.conv_taps(
            stored.pixels, stored.size[1], everything, conv.kernel, *conv.walk
        )
        padded = F.pad(source.change, (0, 1, 0, 1))  # a pixel outside, and a channel of nothing
        index = self._tensor(np.where(taps < 0, padded.shape[1] - 1, taps))
        patches = padded.index_select(1, index.flatten()).view(len(padded), *taps.shape)
        weight, pixels = piece.single, self._tensor(stored.pixels)

        def add(work: Work, body: Tensor) -> None:
            changed = torch.where(work.channels < 0, len(weight), work.channels)
            weights = weight.index_select(0, work.channels.clamp_min(0))
            body.baddbmm_(patches.index_select(0, changed), weights)
            maps = work.changes.get(piece.source)
            if maps is not None:
                add_changes(body, convolved(maps, piece.blocks, None, conv.walk, None), pixels)

        return add
