"""Window means -> standard normal scores, by their ranks among the reference's. Pure.

Inside the reference the map is piecewise linear through its quantiles. Beyond the outermost
quantile that is known well, the tail is modelled: a straight line, that is a normal tail, whose
scale is the largest of three that the data give on that side (median to outermost quantile, the
outermost stretch, and the most extreme window at the rank that it has), so that a heavier tail is
not taken for a fault.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LEAST = 40
"""Windows without which no quantile beyond one deviation is known."""
IN_TAIL = 5
"""Windows beyond the outermost quantile that is taken as known."""
SCORE_MAX = 12.0
GRID = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
_NORMAL = NormalDist()


class ConstantError(ValueError):
    """All windows of the reference are alike: there are no ranks."""


@dataclass(frozen=True, slots=True)
class NormalScores:
    """``values`` rising, ``scores`` of the same length and rising; slopes in value per score."""

    values: tuple[float, ...]
    scores: tuple[float, ...]
    low_slope: float
    high_slope: float

    def __post_init__(self) -> None:
        rising = all(a < b for row in (self.values, self.scores) for a, b in pairwise(row))
        finite = all(map(math.isfinite, self.values)) and all(
            abs(z) < SCORE_MAX for z in self.scores
        )
        if len(self.values) != len(self.scores) or len(self.values) < 2 or not rising or not finite:
            raise ValueError(
                "values and scores must be finite, rising, and at least two of each; scores lie "
                f"within +-{SCORE_MAX:g}"
            )
        if not (0 < self.low_slope < math.inf and 0 < self.high_slope < math.inf):
            raise ValueError("the slopes of both tails must be above 0")

    @property
    def _knots(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Values and scores with the ends of both tails, where the scores reach their bounds."""
        lowest = self.values[0] - (self.scores[0] + SCORE_MAX) * self.low_slope
        highest = self.values[-1] + (SCORE_MAX - self.scores[-1]) * self.high_slope
        return (lowest, *self.values, highest), (-SCORE_MAX, *self.scores, SCORE_MAX)

    def score(self, value: float) -> float:
        """The normal score of a window mean, within +-``SCORE_MAX``; NaN for NaN."""
        return float(np.interp(value, *self._knots))

    def of_all(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The score of each of many window means, as ``score`` gives it."""
        return np.asarray(np.interp(values, *self._knots), np.float64)

    def value(self, score: float) -> float:
        """The window mean that has this score: the inverse of ``score``."""
        values, scores = self._knots
        return float(np.interp(score, scores, values))


def rarer(count: int, usual: int) -> float:
    """What a score shrinks by where fewer values than usual made the mean, which scatters more:
    the root of their ratio. More values are not made more of: lots scatter however many there
    are."""
    return math.sqrt(min(1.0, count / usual))


def normal_scores(means: Sequence[float] | NDArray[np.float64]) -> NormalScores:
    """Learn the map from the finite window means of the reference.

    ``ConstantError`` when they are alike; ``ValueError`` for fewer than ``LEAST``.
    """
    x = np.sort(np.asarray(means, np.float64))
    if not np.isfinite(x).all():
        raise ValueError("window means must be finite")
    if len(x) < LEAST:
        raise ValueError(f"{len(x)} windows are fewer than {LEAST}")
    known = _NORMAL.inv_cdf(1.0 - IN_TAIL / len(x))
    half = [z for z in GRID if z <= known]
    grid = [-z for z in reversed(half[1:])] + half
    shares = [_NORMAL.cdf(z) for z in grid]
    knots: list[float] = np.quantile(x, shares, method="hazen").tolist()
    values, scores = _distinct(knots, grid, tiny=1e-9 * max(1.0, float(np.abs(x).max())))
    if len(values) < 2:
        raise ConstantError("the windows of the reference are alike")
    extreme = _NORMAL.inv_cdf(1.0 - 0.5 / len(x))
    median = float(np.median(x))
    high = _tail(values, scores, median, (float(x[-1]), extreme))
    mirrored = [-v for v in reversed(values)], [-s for s in reversed(scores)]
    low = _tail(*mirrored, -median, (-float(x[0]), extreme))
    return NormalScores(tuple(values), tuple(scores), low, high)


def _distinct(
    knots: Sequence[float], grid: Sequence[float], tiny: float
) -> tuple[list[float], list[float]]:
    """One knot per value: where several scores share one (ties), the middle of them."""
    values: list[float] = []
    groups: list[list[float]] = []
    for value, score in zip(knots, grid, strict=True):
        if values and value - values[-1] <= tiny:
            groups[-1].append(score)
        else:
            values.append(value)
            groups.append([score])
    return values, [math.fsum(group) / len(group) for group in groups]


def _tail(
    values: Sequence[float], scores: Sequence[float], median: float, end: tuple[float, float]
) -> float:
    """Value per score above the last knot; ``end``: the most extreme value and its score."""
    slopes = [(values[-1] - values[-2]) / (scores[-1] - scores[-2])]
    if scores[-1] > 0 and values[-1] > median:
        slopes.append((values[-1] - median) / scores[-1])
    if end[1] > scores[-1]:
        slopes.append((end[0] - values[-1]) / (end[1] - scores[-1]))
    return max(slopes)
