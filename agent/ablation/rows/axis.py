"""What separable operations read along one axis.

Interpolation, pooling and depthwise convolution are separable in what they read: output row y reads
some rows of the source, column x some columns, and pixel (y, x) their product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.rows.geometry import Index

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


def of_line(line: Maps, length: int, like: Tensor) -> Axis:
    """The axis of what ``line`` does to the one column of (1, n, h, 1), read off its output, in the
    precision that the model itself has its weights in."""
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
