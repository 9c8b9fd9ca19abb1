"""How long the charts of one reference run between two false alarms, given how its sample came out.
Pure and seeded.

Limits are designed as if the reference knew what is usual. It knows a sample, so the run length
that a line then has is itself a matter of chance (the conditional run length: W. A. Jensen et al.,
Journal of Quality Technology 38, 2006). Its spread is found by a parametric bootstrap: lots are
drawn from the model that the sample was fitted with (the lots' share of the variance and the
correlation of each signal), made into scores and limits as the reference was, and met with points
of the model. Lots of the sample itself are not drawn with replacement: of twelve, a third would be
doubles, and run lengths came out ten times too short. False-alarm rates of all charts add up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from agent.alarms.reference import SignalReference
from agent.alarms.scores import NormalScores, normal_scores

SAMPLES = 60
CHAINS = 500
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
    def sentence(self) -> str:
        """For whoever reads the reference."""
        return (
            f"Made of a sample like this, charts run {self.median_days:.3g} production days "
            f"between two false alarms in the median of {SAMPLES} such samples, "
            f"{self.low_days:.3g} in the worst 5 % and {self.high_days:.3g} in the best."
        )


def conditional_run(
    signals: Sequence[SignalReference],
    budget: Budget,
    run_length: float,
    lots: int,
    lot_points: int,
) -> ConditionalRun:
    """``run_length``: points that one chart was designed for; ``lots`` of ``lot_points`` points
    were what ``signals`` were made of."""
    rates = np.zeros(SAMPLES)
    size = min(lot_points, LONGEST_LOT)
    for place, signal in enumerate(signals):
        icc, rho = on_grid(signal.icc, signal.rho)
        z = points_of_lots(icc, rho, size, CHAINS)
        rng = np.random.default_rng([lots, place])
        for number in range(SAMPLES):
            made = _made(_sample(rng, icc, rho, (lots, size)), run_length, lot_points)
            if made is None:
                continue  # too few windows for a chart
            scores, limits = made
            seen = np.array([scores.score(value) for value in _GRID])
            for side in signal.sides:
                rates[number] += _rate(side.sign * seen, side.sign, z, limits)
    a_day = np.maximum(rates * budget.points_a_day * budget.lanes, 1e-9)
    low, middle, high = np.quantile(1.0 / a_day, INTERVAL)
    return ConditionalRun(float(low), float(middle), float(high))


def _sample(rng: np.random.Generator, icc: float, rho: float, shape: tuple[int, int]) -> Floats:
    """(lots, points) of the model, each lot for itself."""
    lots, points = shape
    noise = rng.standard_normal(shape)
    for point in range(1, points):
        noise[:, point] = rho * noise[:, point - 1] + math.sqrt(1 - rho * rho) * noise[:, point]
    return math.sqrt(icc) * rng.standard_normal((lots, 1)) + math.sqrt(1 - icc) * noise


def _made(rows: Floats, run_length: float, lot_points: int) -> tuple[NormalScores, Limits] | None:
    """As a reference is made of windows."""
    try:
        scores = normal_scores(rows.ravel())
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
