"""The parts of a convolution: what each of its sources gives for each item.

A source's share is one of these: a plain convolution of whole maps, rows that are gathered and
multiplied, tiles (``winograd``), or an upsampling and the convolution in one (``Merged``). What a
single channel changes is added by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agent.ablation.rows import geometry, winograd
from agent.ablation.rows.convolution import convolved, upsampled
from agent.ablation.rows.elementwise import Pointwise
from agent.ablation.rows.gathering import Rows, gathered
from agent.ablation.rows.geometry import Index, Stored, Walk
from agent.ablation.rows.operation import Layout, Step, Work, add_changes, maps_of, rows_of
from agent.ablation.rows.products import product
from agent.ablation.rows.values import Value, known
from agent.ablation.rows.weights import Merged, Phase, Slice
from agent.ablation.rows.winograd import Form, Task, Tiled, transformed

Tiles = dict[tuple[int, Form], Tensor]
Adder = Callable[[Work, Tensor, Tensor], None]
"""Writes what a part of a convolution gives, added to the third argument, to the second: (batch,
P, O), where the third is (P, O) or the second itself."""
Added = Callable[[Work, Tensor], None]
"""Adds what items change to (batch, P, O)."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Builds the parts of a convolution, from ``slices`` of its weight, for what is ``stored`` of
    its output. ``tiles``: what is made of weights for tiles, kept for other pictures."""

    walk: Walk
    tiles: Tiles
    layout: Layout
    stored: Stored

    def alone(self, piece: Slice, offset: Tensor, act: Pointwise | None) -> Step | None:
        """Whole maps of one source and a bias, which the library adds: no pass for the constant."""
        source, batch = self.layout.values[piece.source].stored, self.layout.batch
        if source is None or offset.stride()[2:] != (0, 0):
            return None
        if piece.kernel == (1, 1) or winograd.usable_for(piece.dense):
            return None  # a product of rows, or tiles
        if not (source.raster and self.stored.raster):
            return None
        bias, kept = offset[0, :, 0, 0].contiguous(), source

        def step(work: Work) -> Tensor:
            x = maps_of(work.rows[piece.source], kept, batch)
            return rows_of(convolved(x, piece.blocks, bias, self.walk, act))

        return step

    def share(self, source: Stored, piece: Slice) -> Step:
        """One source's share of a convolution: whole maps where most is needed, else rows."""
        place, layout = piece.source, self.layout
        tiled = self._tiled_share(source, piece)
        if tiled is not None:
            return tiled
        if self.stored.raster:
            order = layout.order(source)

            def pointwise(work: Work) -> Tensor:
                return product(work.rows[place], piece.rows)

            if order is None and piece.kernel == (1, 1) and self.walk[:2] == ((1, 1), (0, 0)):
                return pointwise

            def whole(work: Work) -> Tensor:
                x = self._map(work, place, order)
                return rows_of(convolved(x, piece.blocks, None, self.walk, None))

            return whole
        pixels, width = self.stored.pixels, piece.dense.shape[1]
        taps = geometry.conv_taps(pixels, self.stored.size[1], source, piece.kernel, *self.walk)
        run = gathered(layout.index(taps, source), width, piece.rows)
        return lambda work: run(layout.padded(work, place))

    def _tiled_share(self, source: Stored, piece: Slice) -> Step | None:
        """The same in tiles, where that takes fewer operations."""
        stride, padding, dilation = self.walk
        if piece.kernel != (3, 3) or not stride == (1, 1) == dilation:
            return None
        (out, width), stored = piece.dense.shape[:2], self.stored
        estimate = winograd.whole_ns if stored.raster else winograd.gathered_ns
        first = (-padding[0], -padding[1])
        task = Task(stored.pixels, stored.size, 3, first, source, width, out)
        tiled = self._tiled(task, piece.rows, estimate(stored.count, 9, width, out))
        if tiled is None:
            return None
        return lambda work: tiled(self.layout.padded(work, piece.source))

    def _tiled(self, task: Task, weight: Tensor, plain_ns: float) -> Tiled | None:
        if not winograd.usable_for(weight):
            return None
        cover = winograd.chosen(task, plain_ns)
        if cover is None:
            return None
        key, kept = (id(weight), cover.form), self.tiles
        if key not in kept:
            kept[key] = transformed(cover.form, weight)
        return Tiled(task, cover, self.layout.batch, kept[key])

    def whole_up(self, up: Merged) -> Step:
        """An upsampling and a convolution in one, for whole maps."""
        order = self.layout.order(self.layout.stored(up.source))

        def step(work: Work) -> Tensor:
            return rows_of(upsampled(self._map(work, up.source, order), up))

        return step

    def _map(self, work: Work, place: int, order: Tensor | None) -> Tensor:
        """Rows of whole maps as (N, C, h, w) in channels-last memory; a view where they are
        raster."""
        source, batch = self.layout.stored(place), self.layout.batch
        if order is None:
            return maps_of(work.rows[place], source, batch)
        return maps_of(self.layout.padded(work, place).index_select(0, order), source, batch)

    def phases(self, groups: Sequence[Index], up: Merged) -> Adder:
        """An upsampling and a convolution in one, for the pixels of each phase in turn."""
        runs: list[tuple[slice, Rows]] = []
        start = 0
        for phase, pixels in zip(up.phases, groups, strict=True):
            part = slice(start, start + pixels.size)
            start = part.stop
            if pixels.size:
                runs.append((part, self._phase(pixels, up, phase)))

        def add(work: Work, body: Tensor, to: Tensor) -> None:
            rows = self.layout.padded(work, up.source)
            for part, run in runs:
                some = body[:, part]
                torch.add(run(rows).view(some.shape), to[..., part, :], out=some)

        return add

    def _phase(self, pixels: Index, up: Merged, phase: Phase) -> Rows:
        """Rows of what is upsampled to those of some pixels of one phase."""
        source, taps = self.layout.stored(up.source), phase.taps
        side, out, width = math.isqrt(len(taps)), len(phase.rows), phase.rows.shape[1] // len(taps)
        if side > 1 and side**2 == len(taps):
            row, column = np.divmod(pixels, self.stored.size[1])
            mine = row // up.factor * source.size[1] + column // up.factor
            task = Task(mine, source.size, side, taps[0], source, width, out)
            plain_ns = winograd.gathered_ns(pixels.size, len(taps), width, out)
            tiled = self._tiled(task, phase.rows, plain_ns)
            if tiled is not None:
                return tiled
        found = geometry.phase_taps(pixels, self.stored.size[1], source, up.factor, taps)
        return gathered(self.layout.index(found, source)[:-1], width, phase.rows)

    def single(self, source: Value, piece: Slice) -> Added:
        """What each item's channel changes at each pixel's taps times its weights; for an item of
        whole maps the convolution of all that it changes."""
        layout, stored = self.layout, self.stored
        everything, change = geometry.everything(source.size), known(source.change)
        taps = geometry.conv_taps(
            stored.pixels, stored.size[1], everything, piece.kernel, *self.walk
        )
        padded = F.pad(change, (0, 1, 0, 1))  # a pixel outside, and a channel of nothing
        index = layout.tensor(np.where(taps < 0, padded.shape[1] - 1, taps))
        patches = padded.index_select(1, index.flatten()).view(len(padded), *taps.shape)
        weight, pixels = piece.single, layout.tensor(stored.pixels)

        def add(work: Work, body: Tensor) -> None:
            changed = torch.where(work.channels < 0, len(weight), work.channels)
            weights = weight.index_select(0, work.channels.clamp_min(0))
            body.baddbmm_(patches.index_select(0, changed), weights)
            maps = work.changes.get(piece.source)
            if maps is not None:
                add_changes(body, convolved(maps, piece.blocks, None, self.walk, None), pixels)

        return add


def added(part: Step) -> Adder:
    """A part that gives the rows of all pixels in their order."""

    def add(work: Work, body: Tensor, to: Tensor) -> None:
        torch.add(part(work)[: body.shape[0] * body.shape[1]].view_as(body), to, out=body)

    return add
