"""How long charts run between two false alarms when their reference was made of a sample like this.
Pure and seeded.

Limits are designed as if the reference knew what is usual. It knows a sample, so the run length
that a line then has is itself a matter of chance (the conditional run length: W. A. Jensen et al.,
Journal of Quality Technology 38, 2006). Its spread is found by a parametric bootstrap: samples are
drawn from the model that the reference's own was fitted with (the lots' share of the variance and
the correlation of each signal, and how signals go together), made into scores and limits as it was,
and met with points of the model. Lots of the sample itself are not drawn with replacement: of
twelve, a third would be doubles, and run lengths came out ten times too short.

False-alarm rates of all charts add up. Points beyond a limit are counted, of which a chart that has
alarmed may give several, so run lengths err downwards.

A budget that holds on average is broken by many a line. So limits are widened until nineteen in
twenty of the samples keep it, after A. Gandy and J. T. Kvaloy (guaranteed conditional performance,
Scandinavian Journal of Statistics 40, 2013). What the sample says of the lots' share is taken as it
is when samples are drawn: a sample whose lots came out alike is not found out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.alarms.charts.arl import LARGEST_ARL
from agent.alarms.charts.budget import CHARTS_A_SIDE, Budget
from agent.alarms.charts.charts import Limits
from agent.alarms.charts.lots import (
    LONGEST_LOT,
    Largest,
    LotSpread,
    limits_for,
    on_grid,
    points_of_lots,
    spread_over_lots,
    tops_of_lots,
)
from agent.alarms.charts.minutes import Point
from agent.alarms.charts.reference import SignalReference
from agent.alarms.charts.scores import normal_scores

SAMPLES = 60
CHAINS = 500
LEAST_PAIRS = 30
"""Windows that two signals must share, or they are taken as independent."""
INTERVAL = (0.05, 0.5, 0.95)
WIDEST = 1e4
"""Times the run length that the budget asks for: the normal tail is not to be trusted further."""
FINE = 0.1
"""Of the logarithm of the run length: a limit moves by less than one in a hundred."""
_GRID = np.linspace(-9.0, 9.0, 1801)
_NORMAL = NormalDist()

Floats = NDArray[np.float64]


class ConditionalRun(NamedTuple):
    """Production days between two false alarms of all charts: median, and 5 % and 95 % quantiles
    over samples like the reference's. The fixed rules, four shares of the budget, are left out."""

    low_days: float
    median_days: float
    high_days: float


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """One side of a signal whose scores a sample made: ``ewma`` and ``cusum`` of lots of the model
    as the charts see them, ``scores`` (G,) the score that each of ``_GRID`` gets, rising."""

    ewma: Largest
    cusum: Largest
    scores: Floats
    lot_points: int

    def rate(self, limits: Limits) -> float:
        """False alarms a point of the three charts."""
        a_lot = self.ewma.beyond(limits.ewma**2) + self.cusum.beyond(limits.cusum)
        gross = float(np.interp(limits.shewhart, self.scores, _GRID, right=np.inf))
        beyond = _NORMAL.cdf(-gross) if np.isfinite(gross) else 0.0
        return a_lot / self.lot_points + beyond


@dataclass(frozen=True, slots=True, eq=False)
class _SignalOfSamples:
    """``usual``: as designed, were the model known; ``made``: of each sample, the spread that it
    shows and how its sides see the model."""

    exact: LotSpread
    usual: _Seen
    made: Sequence[tuple[LotSpread, Sequence[_Seen]]]

    def rates(self, run_length: float, lot_points: int) -> Floats:
        """(SAMPLES,) false alarms a point of all sides. The tail of the simulated lots is known
        coarsely, but alike for limits that are exact and for those of a sample: their ratio is what
        is taken from it."""
        usual = self.usual.rate(limits_for(run_length, self.exact, lot_points))
        found = np.zeros(len(self.made))
        for number, (spread, sides) in enumerate(self.made):
            limits = limits_for(run_length, spread, lot_points)
            found[number] = math.fsum(side.rate(limits) for side in sides) / usual
        return found * CHARTS_A_SIDE / run_length


@dataclass(frozen=True, slots=True, eq=False)
class ChartsOfSamples:
    """The charts that samples like the reference's make, met with the model of its lots."""

    signals: Sequence[_SignalOfSamples]
    budget: Budget
    lot_points: int

    def run(self, run_length: float) -> ConditionalRun:
        """With limits for ``run_length`` points between two false alarms of one chart."""
        rates = np.sum([one.rates(run_length, self.lot_points) for one in self.signals], axis=0)
        a_day = np.maximum(rates * self.budget.points_a_day * self.budget.lanes, 1e-9)
        low, middle, high = np.quantile(1.0 / a_day, INTERVAL)
        return ConditionalRun(float(low), float(middle), float(high))

    def run_length_that_holds(self, designed: float) -> float:
        """The shortest run length, to within ``FINE``, at which ``low_days`` keeps the budget:
        ``designed`` points at least, and ``WIDEST`` times as many where none does."""
        low, high = 0.0, math.log(max(1.0, min(WIDEST, LARGEST_ARL / designed)))
        if self.run(designed).low_days >= self.budget.days:
            return designed
        while high - low > FINE:
            middle = 0.5 * (low + high)
            kept = self.run(designed * math.exp(middle)).low_days >= self.budget.days
            low, high = (low, middle) if kept else (middle, high)
        return min(LARGEST_ARL, designed * math.exp(high))


def together(
    points: Mapping[str, Mapping[str, Sequence[Point]]], signals: Sequence[SignalReference]
) -> Floats:
    """(S, S): how the scores of one window go together; windows of a lot in their order."""
    lots = sorted({lot for signal in signals for lot in points[signal.name]})
    longest = {lot: max(len(points[s.name].get(lot, ())) for s in signals) for lot in lots}
    columns = []
    for signal in signals:
        scores = signal.normal_scores
        column: list[float] = []
        for lot in lots:
            row = [scores.score(point.mean) for point in points[signal.name].get(lot, ())]
            column += row + [math.nan] * (longest[lot] - len(row))
        columns.append(column)
    z = np.array(columns)
    found = np.eye(len(z))
    for first, second in itertools.combinations(range(len(z)), 2):
        both = np.isfinite(z[first]) & np.isfinite(z[second])
        if both.sum() > LEAST_PAIRS:
            one = np.corrcoef(z[first, both], z[second, both])[0, 1]
            found[first, second] = found[second, first] = one
    # Pairs are known from different windows, so the whole need not be a correlation matrix yet.
    values, vectors = np.linalg.eigh(found)
    nearest = (vectors * np.maximum(values, 1e-6)) @ vectors.T
    scale = np.sqrt(np.diag(nearest))
    return np.asarray(nearest / np.outer(scale, scale), np.float64)


def charts_of_samples(
    signals: Sequence[SignalReference],
    correlation: Floats,
    budget: Budget,
    shape: tuple[int, int],
    told: Callable[[int, int], None] = lambda _done, _signals: None,
) -> ChartsOfSamples | None:
    """``correlation``: as ``together`` gives it. ``shape``: lots, and points of one. ``told`` hears
    how many of the signals are done, a second each. None where the model has no sample that a
    reference could be made of: lots too short."""
    lots, lot_points = shape
    drawn = _samples(signals, correlation, lots)
    found = []
    for place, signal in enumerate(signals):
        one = _signal_of_samples(signal, [sample[place] for sample in drawn], shape)
        if one is None:
            return None
        found.append(one)
        told(place + 1, len(signals))
    return ChartsOfSamples(found, budget, lot_points)


def _signal_of_samples(
    signal: SignalReference, samples: Sequence[Floats], shape: tuple[int, int]
) -> _SignalOfSamples | None:
    lots, lot_points = shape
    icc, rho = on_grid(signal.icc, signal.rho)
    z = points_of_lots(icc, rho, min(lot_points, LONGEST_LOT), CHAINS)
    spreads, seen = [], np.empty((len(samples), len(_GRID)))
    for rows, row_seen in zip(samples, seen, strict=True):
        try:
            scores = normal_scores(rows.ravel())
            spreads.append(spread_over_lots(list(scores.of_all(rows))))
        except ValueError:
            return None
        row_seen[:] = scores.of_all(_GRID)
    sides = [_seen_by_each(side.sign * seen, z) for side in signal.sides]
    made = list(zip(spreads, zip(*sides, strict=True), strict=True))
    (usual,) = _seen_by_each(_GRID[None], z)
    return _SignalOfSamples(LotSpread(lots, 0, icc, icc, rho), usual, made)


def _samples(
    signals: Sequence[SignalReference], correlation: Floats, lots: int
) -> list[list[Floats]]:
    """Of each sample, by signal: (lots, its points a lot) of the model."""
    sizes = [max(2, round(signal.windows / lots)) for signal in signals]  # one has no spread
    factor = np.linalg.cholesky(correlation + 1e-9 * np.eye(len(correlation)))
    icc = np.array([signal.icc for signal in signals])[:, None, None]
    rho = np.array([signal.rho for signal in signals])[:, None]
    rng = np.random.default_rng([lots, len(signals)])
    shape = (len(signals), lots, max(sizes))
    found = []
    for _ in range(SAMPLES):
        level = np.tensordot(factor, rng.standard_normal(shape[:2]), 1)[:, :, None]
        noise = np.tensordot(factor, rng.standard_normal(shape), 1)
        for point in range(1, shape[2]):
            fresh = np.sqrt(1 - rho * rho) * noise[:, :, point]
            noise[:, :, point] = rho * noise[:, :, point - 1] + fresh
        z = np.sqrt(icc) * level + np.sqrt(1 - icc) * noise
        found.append([rows[:, :size] for rows, size in zip(z, sizes, strict=True)])
    return found


def _seen_by_each(seen: Floats, z: Floats) -> list[_Seen]:
    """``seen`` (N, G): by sample the score that a point gets, the bad way up, whose true score is
    that of ``_GRID``; ``z``: true scores of lots. All samples a point at a time."""
    place = np.clip(np.searchsorted(_GRID, z, side="right") - 1, 0, len(_GRID) - 2)
    offset = np.clip(z, _GRID[0], _GRID[-1]) - _GRID[place]
    slopes = np.diff(seen) / np.diff(_GRID)
    points = (
        (slopes[:, p] * o + seen[:, p] for p, o in zip(places, offsets, strict=True))
        for places, offsets in zip(place, offset, strict=True)
    )
    tops = tops_of_lots(points, (len(seen), z.shape[2]))
    found = []
    for row, ewma, cusum in zip(seen, *(top.swapaxes(0, 1) for top in tops), strict=True):
        largest = Largest.of(np.square(ewma.ravel())), Largest.of(cusum.ravel())
        # Where low is bad, scores fall along the grid, which is the same both ways round.
        found.append(_Seen(*largest, np.sort(row), z.shape[1]))
    return found
