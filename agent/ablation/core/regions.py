"""Masks of the picture brought to the grid of a layer, and the cells an occlusion takes from them.

A cell belongs to a region when at least a share ``threshold`` of its area does. The background of a
class is the complement of its cells inside the aperture, other foreground classes included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClassCells:
    """Cells of one class on the layer's grid, each (gh, gw) bool."""

    foreground: Mask
    background: Mask


def area_shares(mask: Mask, grid: tuple[int, int]) -> NDArray[np.float64]:
    """(h, w) bool -> (gh, gw): the share of each cell's area that the mask covers, exactly."""
    return area_means(mask.astype(np.float64), grid)


def area_means(values: NDArray[np.float64], grid: tuple[int, int]) -> NDArray[np.float64]:
    """(h, w) -> (gh, gw): the mean over each cell's area, pixels cut where needed."""
    return _means(_means(values, grid[0]).T, grid[1]).T


def _means(values: NDArray[np.float64], cells: int) -> NDArray[np.float64]:
    """(n, m) -> (cells, m): means over equal stretches of the first axis, pixels cut where needed.

    Differences of the running sum at the stretches' ends, which lies on a straight line within a
    pixel.
    """
    count = len(values)
    running = np.vstack((np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)))
    ends = np.arange(cells + 1) * (count / cells)
    pixel = np.minimum(ends.astype(np.int64), count - 1)
    at_ends = running[pixel] + (ends - pixel)[:, None] * values[pixel]
    return np.diff(at_ends, axis=0) * (cells / count)


def to_grid(mask: Mask, grid: tuple[int, int], threshold: float) -> Mask:
    """Cells of which at least ``threshold`` of the area is covered (within rounding)."""
    return area_shares(mask, grid) >= threshold - 1e-9


def nearest(mask: Mask, size: tuple[int, int]) -> Mask:
    """(h, w) bool -> ``size`` = (H, W): each pixel takes the value at its place."""
    grown = cv2.resize(
        mask.astype(np.uint8), (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT
    )
    return np.asarray(grown, np.bool_)


def at_places(values: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.int64]:
    """(H, W) of any integers -> ``size`` = (h, w): each pixel takes the value at its centre."""
    rows, columns = (
        ((np.arange(count) + 0.5) * (have / count)).astype(np.int64)
        for count, have in zip(size, values.shape, strict=True)
    )
    return values[np.ix_(rows, columns)]


def class_cells(
    region: Mask, aperture: Mask, grid: tuple[int, int], threshold: float
) -> ClassCells:
    """Cells of a class and of its complement; ``region`` and ``aperture`` are (h, w) bool."""
    foreground = to_grid(region & aperture, grid, threshold)
    return ClassCells(foreground, to_grid(aperture, grid, threshold) & ~foreground)


def nested(cells: Mask, fractions: Sequence[float], rng: np.random.Generator) -> list[Mask]:
    """One mask per fraction: the first cells of one random order, so that smaller lie in larger.

    A fraction takes at least one cell; an empty region gives empty masks.
    """
    order = rng.permutation(np.flatnonzero(cells))
    return [_of_cells(order[: _count(fraction, order.size)], cells) for fraction in fractions]


def equal_draws(cells: Mask, count: int, draws: int, rng: np.random.Generator) -> list[Mask]:
    """``draws`` random sets of ``count`` cells; none when there are too few or count is 0."""
    pool = np.flatnonzero(cells)
    if count == 0 or pool.size < count:
        return []
    return [_of_cells(rng.choice(pool, count, replace=False), cells) for _ in range(draws)]


def _count(fraction: float, size: int) -> int:
    return min(size, max(1, round(fraction * size)))


def _of_cells(chosen: NDArray[np.int64], like: Mask) -> Mask:
    out = np.zeros(like.size, dtype=np.bool_)
    out[chosen] = True
    return out.reshape(like.shape)
