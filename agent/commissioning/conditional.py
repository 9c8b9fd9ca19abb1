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
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from agent.alarms.budget import CHARTS_A_SIDE, Budget
from agent.alarms.charts import Limits
from agent.alarms.lots import (
    LONGEST_LOT,
    LotSpread,
    exceeded_by,
    largest_of_lots,
    limits_for,
    on_grid,
    points_of_lots,
    spread_over_lots,
)
from agent.alarms.minutes import Point
from agent.alarms.reference import SignalReference
from agent.alarms.scores import NormalScores, normal_scores

SAMPLES = 60
CHAINS = 500
LEAST_PAIRS = 30
"""Windows that two signals must share, or they are taken as independent."""
INTERVAL = (0.05, 0.5, 0.95)
_GRID = np.linspace(-9.0, 9.0, 1801)
_NORMAL = NormalDist()

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ConditionalRun:
    """Production days between two false alarms of all charts: median, and 5 % and 95 % quantiles
    over samples like the reference's."""

    low_days: float
    median_days: float
    high_days: float

    @property
    def days(self) -> tuple[float, float, float]:
        """Rising."""
        return self.low_days, self.median_days, self.high_days

    @property
    def sentence(self) -> str:
        """For whoever reads the reference."""
        return (
            f"Charts made of samples like this one run about {self.median_days:.1g} production "
            f"days between two false alarms; one sample in twenty makes that {self.low_days:.1g} "
            f"or less, one {self.high_days:.1g} or more ({SAMPLES} samples of the fitted model)."
        )


def together(
    points: Mapping[str, Mapping[str, Sequence[Point]]], signals: Sequence[SignalReference]
) -> Floats:
    """(S, S): how the scores of one window go together; windows of a lot in their order."""
    lots = sorted({lot for signal in signals for lot in points[signal.name]})
    longest = {lot: max(len(points[s.name].get(lot, ())) for s in signals) for lot in lots}
    columns = []
    for signal in signals:
        scores = signal.normal_scores()
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


def conditional_run(
    signals: Sequence[SignalReference],
    correlation: Floats,
    budget: Budget,
    run_length: float,
    shape: tuple[int, int],
) -> ConditionalRun | None:
    """``correlation``: as ``together`` gives it. ``run_length``: points that one chart was designed
    for. ``shape``: lots, and points of one. None where the model has no sample that a reference
    could be made of: lots too short.

    The tail of the simulated lots is known coarsely, but alike for limits that are exact and for
    those of a sample: their ratio is what is taken from it.
    """
    lots, lot_points = shape
    size = min(lot_points, LONGEST_LOT)
    drawn = _samples(signals, correlation, lots)
    rates = np.zeros(SAMPLES)
    for place, signal in enumerate(signals):
        icc, rho = on_grid(signal.icc, signal.rho)
        z = points_of_lots(icc, rho, size, CHAINS)
        exact = limits_for(run_length, LotSpread(lots, 0, icc, icc, rho), lot_points)
        usual = _rate(_GRID, z, exact)
        for number in range(SAMPLES):
            made = _made(drawn[number][place], run_length, lot_points)
            if made is None:
                return None
            scores, limits = made
            seen = np.array([scores.score(value) for value in _GRID])
            for side in signal.sides:
                share = _rate(side.sign * seen, z, limits) / usual
                rates[number] += share * CHARTS_A_SIDE / run_length
    a_day = np.maximum(rates * budget.points_a_day * budget.lanes, 1e-9)
    low, middle, high = np.quantile(1.0 / a_day, INTERVAL)
    return ConditionalRun(float(low), float(middle), float(high))


def _samples(
    signals: Sequence[SignalReference], correlation: Floats, lots: int
) -> list[list[Floats]]:
    """Of each sample, by signal: (lots, its points a lot) of the model."""
    sizes = [max(1, round(signal.windows / lots)) for signal in signals]
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


def _made(rows: Floats, run_length: float, lot_points: int) -> tuple[NormalScores, Limits] | None:
    """As a reference is made of windows; None where they are too few."""
    try:
        scores = normal_scores(rows.ravel())
        spread = spread_over_lots([np.array([scores.score(x) for x in row]) for row in rows])
    except ValueError:
        return None
    return scores, limits_for(run_length, spread, lot_points)


def _rate(seen: Floats, z: Floats, limits: Limits) -> float:
    """False alarms a point of the three charts of one side. ``seen`` (G,): the score that a point
    gets, the bad way up, whose true score is that of ``_GRID``; ``z``: true scores of lots."""
    ewma, cusum = largest_of_lots(np.interp(z, _GRID, seen))
    a_lot = exceeded_by(np.square(ewma), limits.ewma**2) + exceeded_by(cusum, limits.cusum)
    # Where low is bad, scores fall along the grid, which is the same both ways round.
    gross = float(np.interp(limits.shewhart, np.sort(seen), _GRID, right=np.inf))
    beyond = _NORMAL.cdf(-gross) if np.isfinite(gross) else 0.0
    return float(a_lot / z.shape[1] + beyond)
