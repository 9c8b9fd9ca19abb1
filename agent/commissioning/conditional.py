"""How long the charts of one reference run between two false alarms, given how its sample came out.
Pure and seeded.

Limits are designed as if the reference knew what is usual. It knows a sample, so the run length
that a line then has is itself a matter of chance (the conditional run length: W. A. Jensen et al.,
Journal of Quality Technology 38, 2006). Its spread is found by a bootstrap of whole lots: each
resample is made into scores and limits as the reference was, and meets points of the process that
the full sample shows (its scores, its lots' share of the variance, its correlation). False-alarm
rates of all charts add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from agent.alarms.budget import Budget
from agent.alarms.charts import Limits
from agent.alarms.lots import (
    LONGEST_LOT,
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

RESAMPLES = 60
CHAINS = 500
INTERVAL = (0.05, 0.5, 0.95)
_GRID = np.linspace(-9.0, 9.0, 1801)
_NORMAL = NormalDist()

Floats = NDArray[np.float64]
Means = Mapping[str, Mapping[str, Sequence[float]]]
"""Signal -> lot -> window means on the charts' scale."""


@dataclass(frozen=True, slots=True)
class ConditionalRun:
    """Production days between two false alarms of all charts: median, and 5 % and 95 % quantiles
    over resamples of the lots."""

    low_days: float
    median_days: float
    high_days: float

    @property
    def sentence(self) -> str:
        """For whoever reads the reference."""
        return (
            f"Given this sample, its charts run {self.median_days:.3g} production days between two "
            f"false alarms in the median of {RESAMPLES} resamples of its lots, "
            f"{self.low_days:.3g} in the worst 5 % and {self.high_days:.3g} in the best."
        )


def window_means(points: Mapping[str, Mapping[str, Sequence[Point]]]) -> Means:
    """Of points by signal and lot."""
    return {
        name: {lot: [point.mean for point in row] for lot, row in by_lot.items()}
        for name, by_lot in points.items()
    }


def conditional_run(
    means: Means,
    signals: Sequence[SignalReference],
    budget: Budget,
    run_length: float,
    lot_points: int,
) -> ConditionalRun:
    """``means``: what ``signals`` were made of. ``run_length``: points that one chart was designed
    for; ``lot_points``: of a lot."""
    lots = sorted({lot for by_lot in means.values() for lot in by_lot})
    rng = np.random.default_rng(len(lots))
    draws = [rng.integers(len(lots), size=len(lots)) for _ in range(RESAMPLES)]
    rates = np.zeros(RESAMPLES)
    size = min(lot_points, LONGEST_LOT)
    for signal in signals:
        by_lot = means[signal.name]
        usual = signal.normal_scores()
        z = points_of_lots(*on_grid(signal.icc, signal.rho), size, CHAINS)
        values = np.array([usual.value(score) for score in _GRID])
        for number, drawn in enumerate(draws):
            rows = [np.asarray(by_lot[lots[i]]) for i in drawn if lots[i] in by_lot]
            made = _resampled(rows, run_length, lot_points)
            if made is None:
                continue  # alike, or too few: such a sample charts nothing of this signal
            scores, limits = made
            seen = np.array([scores.score(value) for value in values])
            for side in signal.sides:
                rates[number] += _rate(side.sign * seen, side.sign, z, limits)
    a_day = np.maximum(rates * budget.points_a_day * budget.lanes, 1e-9)
    low, middle, high = np.quantile(1.0 / a_day, INTERVAL)
    return ConditionalRun(float(low), float(middle), float(high))


def _resampled(
    rows: Sequence[Floats], run_length: float, lot_points: int
) -> tuple[NormalScores, Limits] | None:
    try:
        scores = normal_scores(np.concatenate(rows) if rows else np.zeros(0))
        spread = spread_over_lots([np.array([scores.score(x) for x in row]) for row in rows])
    except ValueError:
        return None
    return scores, limits_for(run_length, spread, lot_points)


def _rate(seen: Floats, sign: int, z: Floats, limits: Limits) -> float:
    """False alarms a point of the three charts of one side. ``seen`` (G,): the score that a point
    gets, the bad way up, whose true score is that of ``_GRID``; ``z``: true scores of lots."""
    ewma, cusum = largest_of_lots(np.interp(z, _GRID, seen))
    a_lot = exceeded_by(np.square(ewma), limits.ewma**2) + exceeded_by(cusum, limits.cusum)
    rising = seen if sign > 0 else seen[::-1]
    gross = float(np.interp(limits.shewhart, rising, _GRID, right=np.inf))
    beyond = _NORMAL.cdf(-gross) if np.isfinite(gross) else 0.0
    return float(a_lot / z.shape[1] + beyond)
