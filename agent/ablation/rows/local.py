"""Operations in which every channel is for itself, and those that join two maps pixel by pixel.

Interpolation, pooling and depthwise convolution are separable in what they read: output row y reads
some rows of the source, column x some columns, and pixel (y, x) their product. Pooling over
everything is the case in which one row reads all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Index = NDArray[np.int64]
Pair = tuple[int, int]
Maps = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """Along one axis: ``taps`` (out, T) are the places of a source of ``length`` that each place of
    the output reads, -1 for none; ``weights`` (out, T) what they count."""

    length: int
    taps: Index
    weights: NDArray[np.float64]

    def reached(self, first: Index, last: Index) -> tuple[Index, Index]:
        """The outputs that read some of the places from ``first`` to ``last`` (excluded)."""
        low = np.where(self.taps < 0, self.length, self.taps).min(1)
        high = self.taps.max(1)
        hit = (low < last[:, None]) & (high >= first[:, None]) & (first < last)[:, None]
        some, count = hit.any(1), hit.shape[1]
        start = np.where(some, hit.argmax(1), 0)
        return start, np.where(some, count - hit[:, ::-1].argmax(1), 0)


@dataclass(frozen=True, slots=True, eq=False)
class Local:
    """A weighted sum of what is read, per channel: ``scale`` (T, C) and ``bias`` (C,) where each
    channel has weights of its own, else those of the axes. ``maximum``: the largest instead.

    ``dense`` is the same for whole maps (N, C, h, w).
    """

    source: int
    rows: Axis
    columns: Axis
    dense: Maps
    maximum: bool = False
    scale: Tensor | None = None
    bias: Tensor | None = None

    @property
    def before(self) -> Pair:
        return self.rows.length, self.columns.length

    @property
    def size(self) -> Pair:
        return len(self.rows.taps), len(self.columns.taps)

    @property
    def everywhere(self) -> bool:
        """Whether some pixel reads the whole of a map that has more than one."""
        most = self.rows.taps.shape[1] * self.columns.taps.shape[1]
        return bool(most >= self.rows.length * self.columns.length > 1)

    def taps(self, pixels: Index) -> Index:
        """(P, T): the pixels of the source that each of the output reads, -1 for none."""
        row, column = np.divmod(pixels, self.size[1])
        r, c = self.rows.taps[row][:, :, None], self.columns.taps[column][:, None, :]
        found = np.where((r < 0) | (c < 0), -1, r * self.columns.length + c)
        return np.asarray(found.reshape(len(pixels), -1), np.int64)

    def weights(self, pixels: Index) -> NDArray[np.float64]:
        """(P, T): what those count."""
        row, column = np.divmod(pixels, self.size[1])
        both = self.rows.weights[row][:, :, None] * self.columns.weights[column][:, None, :]
        return np.asarray(both.reshape(len(pixels), -1), np.float64)

    def read(self, need: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which pixels of the source the needed ones (h, w) read."""
        taps = self.taps(np.flatnonzero(need))
        out = np.zeros(self.before, np.bool_)
        out.ravel()[taps[taps >= 0]] = True
        return out

    def reach(self, boxes: Index) -> Index:
        """(items, 4) rectangles of the source to those of the output that read them."""
        top, bottom = self.rows.reached(boxes[:, 0], boxes[:, 2])
        left, right = self.columns.reached(boxes[:, 1], boxes[:, 3])
        return np.stack((top, left, bottom, right), axis=1)

    def of_rows(self, rows: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        """(N, C): the output where ``index`` (N, T) names the rows that are read and ``weights``
        (N, T) what they count."""
        out = rows.index_select(0, index[:, 0])
        if not self.maximum:
            out *= self._weight(weights, 0)
        for tap in range(1, index.shape[1]):
            some = rows.index_select(0, index[:, tap])
            if self.maximum:
                torch.maximum(out, some, out=out)
            else:
                out.addcmul_(some, self._weight(weights, tap))
        return out if self.bias is None else out.add_(self.bias)

    def _weight(self, weights: Tensor, tap: int) -> Tensor:
        return weights[:, tap : tap + 1] if self.scale is None else self.scale[tap]


@dataclass(frozen=True, slots=True, eq=False)
class Join:
    """Two maps of as many channels, pixel by pixel; one of a single pixel is spread over the other.
    ``function`` gives zero for two zeros."""

    sources: Pair
    function: Callable[[Tensor, Tensor], Tensor]


def resampled(
    source: int, before: Pair, lines: tuple[Maps, Maps], dense: Maps, like: Tensor
) -> Local:
    """Interpolation or averaging of a map of size ``before``. ``lines`` do along each axis, to the
    one column of (1, n, h, 1), what ``dense`` does along both; the weights are read off them, in
    the precision that the model itself has them in."""
    rows, columns = (_axis(line, length, like) for line, length in zip(lines, before, strict=True))
    return Local(source, rows, columns, dense)


def _axis(line: Maps, length: int, like: Tensor) -> Axis:
    unit = torch.eye(length, dtype=like.dtype, device=like.device)
    matrix = line(unit.view(1, length, length, 1))[0, :, :, 0].t()
    return from_matrix(matrix.double().cpu().numpy())


def from_matrix(matrix: NDArray[np.float64]) -> Axis:
    """An axis whose (out, in) weights are these; zeros are not read."""
    count = max(1, int((matrix != 0).sum(1).max()))
    order = np.argsort(matrix == 0, axis=1, kind="stable")[:, :count]
    weights = np.take_along_axis(matrix, order, 1)
    return Axis(matrix.shape[1], np.where(weights != 0, order, -1), weights)


def window(length: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
    """What a sliding window of ``kernel`` taps reads."""
    taps = np.arange(out)[:, None] * stride - padding + np.arange(kernel) * dilation
    inside = (taps >= 0) & (taps < length)
    return Axis(length, np.where(inside, taps, -1), inside.astype(np.float64))


def clamped(axis: Axis) -> Axis:
    """The same with a place that is read anyhow for each that lies outside: for a maximum."""
    inside = np.take_along_axis(axis.taps, (axis.taps >= 0).argmax(1)[:, None], 1)
    return Axis(axis.length, np.where(axis.taps < 0, inside, axis.taps), axis.weights)
