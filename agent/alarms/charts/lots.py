"""Limits of charts whose points come in lots. Pure and seeded.

Fruit of one lot are alike and those of the next differ, so points within a lot are not independent,
and limits for independent ones alarm far too often. Scores are modelled as::

    z = a + e,   a ~ N(0, icc) once a lot,   e ~ N(0, 1 - icc), correlated rho with the one before

``icc``, the lots' share of the variance, is taken at its upper 90 % confidence bound (one-way
analysis of variance over lots, chi-squared with lots - 1 degrees of freedom): few lots make wide
limits, and below ``LEAST_LOTS`` nothing is claimed at all. Limits are then found by simulating lots
from the model: the largest value of a chart in each lot, whose tail beyond the simulated ones is
exponential in S for the CUSUM and in the square for EWMA and Shewhart (a normal tail). They are
never below those for independent points (``agent.alarms.charts.arl``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from agent.alarms.charts import arl
from agent.alarms.charts.charts import CUSUM_K, EWMA_WEIGHT, Limits

LEAST_LOTS = 10
"""With 10 lots the upper bound of the lots' spread is 1.5 times its estimate; with 5 it is 2."""
LEAST_WINDOWS = 4
"""A lot with fewer windows says nothing about its own spread."""
UPPER = 0.9
ICC_GRID = (0.0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98)
RHO_GRID = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
CHAINS, LOTS_A_CHAIN, WARM_UP = 2500, 20, 2
TAIL = 0.01
"""The largest hundredth of the simulated lots is what the tail is fitted to."""
SHARES = np.linspace(0.0, 1.0, 201)
LONGEST_LOT = 240
"""Points of a lot that are simulated at most."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class LotSpread:
    """How points depend on their lots: shares of the variance, best estimate and upper bound.

    ``rho``: correlation of neighbouring points within a lot, 0 where it may be chance.
    """

    lots: int
    points: int
    icc: float
    icc_upper: float
    rho: float


def chi_squared_quantile(share: float, degrees: int) -> float:
    """By Wilson and Hilferty's cube-root approximation: within 2 % from 3 degrees on."""
    if degrees < 1 or not 0 < share < 1:
        raise ValueError(f"share {share} in (0, 1), degrees {degrees} >= 1")
    spread = 2.0 / (9.0 * degrees)
    return degrees * (1.0 - spread + _NORMAL.inv_cdf(share) * math.sqrt(spread)) ** 3


def inflation(lots: int) -> float:
    """Upper bound over estimate of the standard deviation between ``lots`` lots."""
    return math.sqrt((lots - 1) / chi_squared_quantile(1.0 - UPPER, lots - 1))


def spread_over_lots(lots: Sequence[NDArray[np.float64]]) -> LotSpread:
    """Of scores, one array a lot; NaN is no point. Lots of a single point are left out.

    ``ValueError`` for fewer than two lots of at least two points.
    """
    kept = [lot[np.isfinite(lot)] for lot in lots]
    kept = [lot for lot in kept if len(lot) > 1]
    if len(kept) < 2:
        raise ValueError("the spread over lots needs two lots of two points")
    sizes = np.array([len(lot) for lot in kept], np.float64)
    total, count = float(sizes.sum()), len(kept)
    means = np.array([lot.mean() for lot in kept])
    grand = float((sizes * means).sum() / total)
    between = float((sizes * (means - grand) ** 2).sum() / (count - 1))
    within = math.fsum(float(((lot - lot.mean()) ** 2).sum()) for lot in kept) / (total - count)
    typical = (total - float((sizes**2).sum()) / total) / (count - 1)
    upper = between * (count - 1) / chi_squared_quantile(1.0 - UPPER, count - 1)
    return LotSpread(
        lots=count,
        points=int(total),
        icc=_share(between, within, typical),
        icc_upper=_share(upper, within, typical),
        rho=_neighbours(kept),
    )


def _share(between: float, within: float, size: float) -> float:
    lots = max(0.0, (between - within) / size)
    return lots / (lots + within) if lots + within > 0 else 0.0


def _neighbours(lots: Sequence[NDArray[np.float64]]) -> float:
    centred = [lot - lot.mean() for lot in lots if len(lot) >= LEAST_WINDOWS]
    products = math.fsum(float((c[:-1] * c[1:]).sum()) for c in centred)
    squares = math.fsum(float((c * c).sum()) for c in centred)
    pairs = sum(len(c) - 1 for c in centred)
    if squares <= 0 or pairs < 10:
        return 0.0
    # The mean of a lot is its own, which pulls the correlation down by about 1/size.
    rho = products / squares + len(centred) / sum(len(c) for c in centred)
    return min(RHO_GRID[-1], rho) if rho > _NORMAL.inv_cdf(UPPER) / math.sqrt(pairs) else 0.0


def limits_for(run_length: float, spread: LotSpread, lot_points: int) -> Limits:
    """Limits with ``run_length`` points between false alarms, for lots of ``lot_points`` points."""
    if lot_points < 1:
        raise ValueError("a lot has at least one point")
    free = Limits(
        ewma=arl.ewma_limit(run_length / 2.0, EWMA_WEIGHT) * arl.ewma_sigma(EWMA_WEIGHT),
        cusum=arl.cusum_limit(run_length, CUSUM_K),
        shewhart=_NORMAL.inv_cdf(1.0 - 1.0 / run_length),
    )
    icc, rho = on_grid(spread.icc_upper, spread.rho)
    if icc == rho == 0.0:
        return free
    ewma, cusum = _simulated(icc, rho, min(lot_points, LONGEST_LOT))
    share = min(lot_points, LONGEST_LOT) / run_length
    return Limits(
        ewma=max(free.ewma, math.sqrt(ewma.limit(share))),
        cusum=max(free.cusum, cusum.limit(share)),
        shewhart=free.shewhart,  # the marginal distribution is the same whatever the lots
    )


def on_grid(icc: float, rho: float) -> tuple[float, float]:
    """The next larger values that are simulated."""
    return _up(icc, ICC_GRID), _up(rho, RHO_GRID)


def _up(value: float, grid: Sequence[float]) -> float:
    return next((step for step in grid if step >= value - 1e-3), grid[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Largest:
    """The largest value of a chart in a lot, over simulated lots: ``quantiles`` of them at
    ``SHARES``; beyond ``threshold``, which a share ``TAIL`` exceeds, exponential with ``scale``."""

    quantiles: NDArray[np.float64]
    threshold: float
    scale: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Largest:
        found = np.quantile(np.sort(values), [1.0 - TAIL, *SHARES])
        threshold = float(found[0])
        scale = float((values[values > threshold] - threshold).mean())
        return cls(found[1:], threshold, scale)

    def limit(self, share: float) -> float:
        """The value that ``share`` of all lots exceed."""
        if share >= TAIL:
            return float(np.interp(1.0 - share, SHARES, self.quantiles))
        return self.threshold + self.scale * math.log(TAIL / share)

    def beyond(self, limit: float) -> float:
        """The share of lots that exceed ``limit``: the inverse of ``limit``."""
        if limit < self.threshold:
            return 1.0 - float(np.interp(limit, self.quantiles, SHARES))
        return TAIL * math.exp((self.threshold - limit) / self.scale)


def points_of_lots(
    icc: float, rho: float, lot_points: int, chains: int = CHAINS
) -> NDArray[np.float64]:
    """(lots, lot_points, chains) scores of the model; the lots of a chain follow upon each other.

    Seeded by the arguments.
    """
    rng = np.random.default_rng([lot_points, round(icc * 1000), round(rho * 1000)])
    noise = rng.standard_normal(chains)
    fresh = math.sqrt(1.0 - rho * rho)
    z = np.empty((LOTS_A_CHAIN, lot_points, chains))
    for lot in z:
        level = math.sqrt(icc) * rng.standard_normal(chains)
        for point in lot:
            noise = rho * noise + fresh * rng.standard_normal(chains)
            point[:] = level + math.sqrt(1.0 - icc) * noise
    return z


def largest_of_lots(z: NDArray[np.float64]) -> tuple[Largest, Largest]:
    """Largest squared EWMA and largest CUSUM of the lots of ``points_of_lots``, the first few left
    out: charts start at 0. Squared, so that the tail of both is exponential."""
    ewma, cusum = tops_of_lots(z, z.shape[2:])
    return Largest.of(np.square(ewma.ravel())), Largest.of(cusum.ravel())


def tops_of_lots(
    lots: Iterable[Iterable[NDArray[np.float64]]], shape: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(lots, *shape): the largest EWMA and the largest CUSUM of each lot but the first few; the
    points of a lot have ``shape``, a chart at each place of it."""
    ewma, cusum = np.zeros(shape), np.zeros(shape)
    step = np.empty(shape)
    found: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for number, lot in enumerate(lots):
        top_ewma, top_cusum = np.zeros(shape), np.zeros(shape)
        for point in lot:
            np.subtract(point, ewma, out=step)
            step *= EWMA_WEIGHT
            ewma += step
            cusum += point
            cusum -= CUSUM_K
            np.maximum(cusum, 0.0, out=cusum)
            np.maximum(top_ewma, ewma, out=top_ewma)
            np.maximum(top_cusum, cusum, out=top_cusum)
        if number >= WARM_UP:
            found.append((top_ewma, top_cusum))
    tops = tuple(np.array(each) for each in zip(*found, strict=True))
    return tops[0], tops[1]


@lru_cache(maxsize=256)
def _simulated(icc: float, rho: float, lot_points: int) -> tuple[Largest, Largest]:
    return largest_of_lots(points_of_lots(icc, rho, lot_points))
