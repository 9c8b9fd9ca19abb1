"""The measures, on arrays alone.

Of y and the others' y, drops are margins in logits; an area is a share q of the aperture.

- gain: drop of y with the top q of a map filled, less the mean drop with random connected areas of
  the same size
- leakage: o / (|drop of y| + o), o the mean |drop| of the other classes' y
- stability: Spearman's correlation of two maps inside the aperture
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]
RESAMPLES = 2000


def ranked(
    values: NDArray[np.float32], aperture: Mask, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Pixels inside the aperture, the largest first; equal ones and NaN in random order, the latter
    last. ``values`` of any grid are brought to that of the ``aperture`` (h, w)."""
    inside = np.flatnonzero(aperture)
    shown = np.nan_to_num(resized(values, aperture.shape), nan=-np.inf).flat[inside]
    return inside[np.lexsort((rng.random(inside.size), -shown))]


def resized(values: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """(gh, gw) -> ``size`` (h, w), bilinear."""
    if values.shape == size:
        return values
    found = cv2.resize(values, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(found, np.float32)


def of_pixels(pixels: NDArray[np.int64], size: tuple[int, ...]) -> Mask:
    """(h, w) bool that is true there."""
    out = np.zeros(size, np.bool_)
    out.flat[pixels] = True
    return out


def grown(aperture: Mask, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``count`` pixels inside the aperture in the order in which a connected area takes them in,
    from a random one on, each next one a random neighbour: every beginning is connected too.

    Fewer where the aperture's own connected part has no more.
    """
    height, width = aperture.shape
    free = aperture.copy().ravel()
    start = int(rng.choice(np.flatnonzero(aperture)))
    free[start] = False
    waiting, order = [start], []
    draws = rng.random(count).tolist()
    while waiting and len(order) < count:
        place = int(draws[len(order)] * len(waiting))
        waiting[place], waiting[-1] = waiting[-1], waiting[place]
        pixel = waiting.pop()
        order.append(pixel)
        row, column = divmod(pixel, width)
        for near, there in (
            (pixel - width, row > 0),
            (pixel + width, row + 1 < height),
            (pixel - 1, column > 0),
            (pixel + 1, column + 1 < width),
        ):
            if there and free[near]:
                free[near] = False
                waiting.append(near)
    return np.asarray(order, np.int64)


def leakage(own: float, others: Sequence[float]) -> float:
    """NaN where there is no other class, or nothing changed at all."""
    other = float(np.mean(np.abs(others))) if len(others) else math.nan
    whole = abs(own) + other
    return other / whole if whole > 0 else math.nan


def mean(values: Sequence[float] | Values) -> float:
    """Of what is no NaN; NaN where nothing is left."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else math.nan


def interval(values: Sequence[float] | Values, seed: int = 0) -> tuple[float, float, float]:
    """Mean over pictures, and the 95 % interval of it by bootstrap over them; what is NaN is left
    out."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if known.size == 0:
        return math.nan, math.nan, math.nan
    rng = np.random.default_rng(seed)
    means = known[rng.integers(0, known.size, (RESAMPLES, known.size))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(known.mean()), float(low), float(high)
