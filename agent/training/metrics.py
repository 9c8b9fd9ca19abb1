"""Numbers of one segmentation against its truth, and their summary. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-10
"""Of the mean Dice, so that a class that is absent from both is not 0 / 0."""


def dice(predicted: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> float:
    """2 |A and B| / (|A| + |B|). NaN where both are empty (not counted), 0 where one is."""
    size = int(predicted.sum()) + int(wanted.sum())
    return 2.0 * int((predicted & wanted).sum()) / size if size else math.nan


def iou(predicted: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> float:
    """|A and B| / |A or B|; NaN where both are empty."""
    union = int((predicted | wanted).sum())
    return int((predicted & wanted).sum()) / union if union else math.nan


def mean_dice(predicted: NDArray[np.uint8], wanted: NDArray[np.uint8], classes: int) -> float:
    """Per class (2 I + e) / (U + e + I), background included; classes absent from ``wanted`` are
    left out; the mean over the rest. (I: intersection, U: union; U + I is the sum of the sizes.)"""
    values = []
    for index in range(classes):
        p, w = predicted == index, wanted == index
        if w.any():
            both = int((p & w).sum())
            union = int((p | w).sum())
            values.append((2 * both + EPSILON) / (union + EPSILON + both))
    return float(np.mean(values))


def mean_of(values: Iterable[float]) -> float:
    """Mean of the numbers that are there; NaN when there is none."""
    there = [value for value in values if not math.isnan(value)]
    return float(np.mean(there)) if there else math.nan


def quantile_of(values: Iterable[float], q: float) -> float:
    """Quantile of the numbers that are there; NaN when there is none."""
    there = [value for value in values if not math.isnan(value)]
    return float(np.quantile(there, q)) if there else math.nan


def share_of(flags: Sequence[bool]) -> float:
    """Share of true ones; NaN of nothing."""
    return sum(flags) / len(flags) if flags else math.nan


def calibration_error(probability: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error: mean over equal bins, by their count, of |confidence - hits|."""
    if not probability:
        return math.nan
    p, hit = np.asarray(probability), np.asarray(right, np.float64)
    index = np.minimum((p * bins).astype(int), bins - 1)
    # A bin's count times the difference of its means is the sum of its differences.
    return float(np.abs(np.bincount(index, p - hit)).sum()) / len(p)
