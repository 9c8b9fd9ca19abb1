"""Interpolation, pooling, depthwise convolution: every channel for itself, a window of pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from agent.ablation.core.regions import Mask
from agent.ablation.rows import axis, geometry
from agent.ablation.rows.axis import Axis, Maps
from agent.ablation.rows.geometry import Boxes, Index, Size
from agent.ablation.rows.graph import Reading
from agent.ablation.rows.operation import Channelwise, Layout, Step, Work, maps_of, rows_of
from agent.ablation.rows.pairs import Pairs, Patched
from agent.ablation.split.trace import CutError

INTERPOLATE = (
    "size",
    "scale_factor",
    "mode",
    "align_corners",
    "recompute_scale_factor",
    "antialias",
)
MODES = ("nearest", "nearest-exact", "bilinear", "bicubic", "area")


@dataclass(frozen=True, slots=True, eq=False)
class Local(Channelwise):
    """A weighted sum of what is read, per channel: ``scale`` (T, C) and ``bias`` (C,) where each
    channel has weights of its own, else those of the axes. ``maximum``: the largest instead.

    ``dense`` is the same for whole maps (N, C, h, w).
    """

    rows: Axis
    columns: Axis
    dense: Maps
    maximum: bool = False
    scale: Tensor | None = None
    bias: Tensor | None = None

    def size(self, before: Sequence[Size]) -> Size:
        whole = (self.rows.length, self.columns.length)
        if before[0] != whole:
            raise CutError(f"a map of {before[0]} where {whole} was read")
        return len(self.rows.taps), len(self.columns.taps)

    def maps(self, *maps: Tensor) -> Tensor:
        return self.dense(maps[0])

    def read(self, need: Mask, size: Size) -> Mask:
        taps = self._taps(np.flatnonzero(need))
        out = np.zeros(size, np.bool_)
        out.ravel()[taps[taps >= 0]] = True
        return out

    def reach(self, before: Sequence[Boxes]) -> Boxes:
        top, bottom = self.rows.reached(before[0][:, 0], before[0][:, 2])
        left, right = self.columns.reached(before[0][:, 1], before[0][:, 3])
        return np.stack((top, left, bottom, right), axis=1)

    def not_patched(self) -> str | None:
        """Where some pixel reads the whole of a map that has more than one."""
        most = self.rows.taps.shape[1] * self.columns.taps.shape[1]
        whole = most >= self.rows.length * self.columns.length > 1
        return "a pooling over everything" if whole else None

    def step(self, place: int, layout: Layout) -> Step:
        before, batch = layout.source(self.sources[0]), layout.batch
        stored = layout.values[place].stored = geometry.kept(layout.need(place))
        if stored.raster and before.stored.raster:

            def dense(work: Work) -> Tensor:
                return rows_of(self.dense(maps_of(before.rows(work), before.stored, batch)))

            return dense
        taps = self._taps(stored.pixels)
        where = np.where(taps < 0, -1, before.stored.where[taps])
        index = layout.index(where, before.stored)
        weights = np.tile(self._counts(stored.pixels), (batch, 1))
        counts = layout.tensor(np.pad(weights, ((0, 1), (0, 0)))).to(layout.like)

        def step(work: Work) -> Tensor:
            out = self._of_rows(before.rows(work), index, counts)
            out[-1].zero_()
            return out

        return step

    def patched(self, place: int, own: Pairs, run: Patched) -> Tensor:
        (source,) = self.sources
        index = run.taps(source, own.item, self._taps(own.pixel))
        counts = run.tensor(self._counts(own.pixel)).to(run.like)
        return self._of_rows(run.rows[source], index, counts)

    def _taps(self, pixels: Index) -> Index:
        """(P, T): the pixels of the source that each of the output reads, -1 for none."""
        row, column = np.divmod(pixels, len(self.columns.taps))
        r, c = self.rows.taps[row][:, :, None], self.columns.taps[column][:, None, :]
        found = np.where((r < 0) | (c < 0), -1, r * self.columns.length + c)
        return np.asarray(found.reshape(len(pixels), -1), np.int64)

    def _counts(self, pixels: Index) -> NDArray[np.float64]:
        """(P, T): what those count."""
        row, column = np.divmod(pixels, len(self.columns.taps))
        both = self.rows.weights[row][:, :, None] * self.columns.weights[column][:, None, :]
        return np.asarray(both.reshape(len(pixels), -1), np.float64)

    def _of_rows(self, rows: Tensor, index: Tensor, counts: Tensor) -> Tensor:
        """(N, C): the output where ``index`` (N, T) names the rows that are read and ``counts``
        (N, T) what they count."""
        out = rows.index_select(0, index[:, 0])
        if not self.maximum:
            out *= self._weight(counts, 0)
        for tap in range(1, index.shape[1]):
            some = rows.index_select(0, index[:, tap])
            if self.maximum:
                torch.maximum(out, some, out=out)
            else:
                out.addcmul_(some, self._weight(counts, tap))
        return out if self.bias is None else out.add_(self.bias)

    def _weight(self, counts: Tensor, tap: int) -> Tensor:
        return counts[:, tap : tap + 1] if self.scale is None else self.scale[tap]


def interpolation(reading: Reading, node: fx.Node) -> Local:
    """``F.interpolate`` to any size in any mode that is separable."""
    options = reading.arguments(node, INTERPOLATE)
    mode = options.get("mode", "nearest")
    if mode not in MODES:
        raise CutError(f"interpolation by {mode} has no fast form")
    after = reading.found.size(node)
    scale = options.pop("scale_factor", None)
    options.pop("size", None)

    def line(axis: int) -> Maps:
        if scale is None:
            return lambda x: F.interpolate(x, size=(after[axis], 1), **options)
        one = scale[axis] if isinstance(scale, tuple | list) else scale
        return lambda x: F.interpolate(x, scale_factor=(one, 1.0), **options)

    def dense(maps: Tensor) -> Tensor:
        if scale is None:
            return F.interpolate(maps, size=after, **options)
        return F.interpolate(maps, scale_factor=scale, **options)

    return _resampled(reading, node, line, dense)


POOLS: Mapping[Any, type[nn.Module]] = {
    F.avg_pool2d: nn.AvgPool2d,
    F.max_pool2d: nn.MaxPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
}


def pooling(reading: Reading, node: fx.Node, part: nn.Module | None) -> None:
    """Average and maximum pooling, over everything as well."""
    pool = part if part is not None else POOLS[node.target](*node.args[1:], **node.kwargs)
    match pool:
        case nn.AdaptiveAvgPool2d():
            after = reading.found.size(node)
            reading.add(node, _resampled(reading, node, lambda i: _adaptive(after[i]), pool))
        case nn.AvgPool2d() if pool.divisor_override is None:
            reading.add(node, _resampled(reading, node, lambda i: _averaging(pool, i), pool))
        case nn.MaxPool2d() if not pool.return_indices:
            rows, columns = (axis.clamped(one) for one in _windows(reading, node, pool))
            source = reading.single(node.args[0])
            width = reading.width(source)
            reading.add(node, Local((source,), width, rows, columns, pool, maximum=True))
        case _:
            raise CutError(f"{node.target} ({type(pool).__name__}) has no fast form")


def depthwise(reading: Reading, node: fx.Node, conv: nn.Conv2d) -> Local:
    """A convolution that gives each channel one of its own."""
    rows, columns = _windows(reading, node, conv)
    source = reading.single(node.args[0])
    scale = conv.weight[:, 0].flatten(1).t().contiguous()
    width = reading.width(source)
    return Local((source,), width, rows, columns, conv, scale=scale, bias=conv.bias)


def _windows(reading: Reading, node: fx.Node, part: Any) -> tuple[Axis, Axis]:
    before, after = reading.found.size(node.args[0]), reading.found.size(node)
    options = [pair(o) for o in (part.kernel_size, part.stride, part.padding, part.dilation)]
    rows, columns = (
        axis.window(before[i], after[i], *(option[i] for option in options)) for i in range(2)
    )
    return rows, columns


def _resampled(reading: Reading, node: fx.Node, line: Callable[[int], Maps], dense: Maps) -> Local:
    """Interpolation or averaging. ``line`` of an axis does along it, to the one column of
    (1, n, h, 1), what ``dense`` does along both."""
    source = reading.single(node.args[0])
    before = reading.found.size(node.args[0])
    rows, columns = (axis.of_line(line(i), before[i], reading.found.like) for i in range(2))
    return Local((source,), reading.width(source), rows, columns, dense)


def _adaptive(length: int) -> Maps:
    return lambda x: F.adaptive_avg_pool2d(x, (length, 1))


def _averaging(pool: nn.AvgPool2d, axis: int) -> Maps:
    kernel, stride, padding = (
        pair(one)[axis] for one in (pool.kernel_size, pool.stride, pool.padding)
    )
    return nn.AvgPool2d(
        (kernel, 1), (stride, 1), (padding, 0), pool.ceil_mode, pool.count_include_pad
    )


def pair(value: Any) -> Size:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
