"""From samples of ordinary production to the reference: maps to scores, and limits. Pure.

The likeness of an explanation to the profile is judged against the profile of the OTHER lots:
against one that it is part of itself it would look better than anything that comes later.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agent.alarms.charts.budget import Budget
from agent.alarms.charts.charts import Limits
from agent.alarms.charts.lots import LEAST_LOTS, LotSpread, limits_for, spread_over_lots
from agent.alarms.charts.minutes import FruitMinutes, Point, explanation_minutes, on_chart_scale
from agent.alarms.charts.reference import CupReference, SideLimits, SignalReference
from agent.alarms.charts.scores import LEAST, ConstantError, normal_scores
from agent.alarms.signals.extract import cosine, ndcg
from agent.alarms.signals.signals import BY_NAME, SIGNALS, Signal, natural
from agent.commissioning.errors import CommissioningError
from agent.commissioning.samples import Collected

COLOUR_QUANTILE = 0.99
LEAST_CUPS = 40
"""Empty cups without which nothing is said of their colour."""
MAD_TO_SIGMA = 1.4826
"""Of normal values the standard deviation over the median absolute deviation."""
LotPoints = dict[str, dict[str, list[Point]]]
"""Signal -> lot -> its points in order."""


@dataclass(frozen=True, slots=True)
class Designed:
    """What of a reference comes from the samples alone."""

    signals: tuple[SignalReference, ...]
    left_out: Mapping[str, str]
    profile: NDArray[np.float64]
    overlay_range: Mapping[str, float]
    cups: CupReference | None
    run_length: float
    lot_points: int
    lots: int
    windows: int
    points: LotPoints


def windows_needed(run_length: float) -> int:
    """Windows in which a quantile is known for at least a third of the decades that the tail of
    one false alarm in ``run_length`` points spans; the rest, and what limits are widened by, is the
    model's."""
    return max(LEAST, math.ceil(math.cbrt(run_length)))


def windows_for(budget: Budget) -> int:
    """Windows that a reference of every signal needs."""
    return windows_needed(budget.arl(sum(len(signal.bad.signs) for signal in SIGNALS)))


def enough(collected: Collected, budget: Budget) -> bool:
    """Whether a reference can be made of these samples."""
    windows = _windows(points_by_lot(collected, budget.window_s))
    return len(collected.lots) >= LEAST_LOTS and windows >= windows_for(budget)


def _windows(points: LotPoints) -> int:
    return max((sum(map(len, by_lot.values())) for by_lot in points.values()), default=0)


def designed(collected: Collected, budget: Budget) -> Designed:
    """Everything, or a ``CommissioningError`` that says how much more is needed."""
    lots = collected.lots
    points = points_by_lot(collected, budget.window_s)
    windows, needed = _windows(points), windows_for(budget)
    if len(lots) < LEAST_LOTS or windows < needed:
        raise CommissioningError(
            f"too few samples: {len(lots)} lots with {windows} windows of {budget.window_s:g} s. "
            f"One false alarm in {budget.days:g} days asks for at least {LEAST_LOTS} lots and "
            f"{needed} windows; {max(0, LEAST_LOTS - len(lots))} lots and "
            f"{max(0, needed - windows)} windows more"
        )
    per_lot = [max(len(by_lot.get(lot, ())) for by_lot in points.values()) for lot in lots]
    lot_points = max(1, round(float(np.median(per_lot))))
    usable, left_out = _usable(points, needed)
    sides = sum(len(BY_NAME[name].bad.signs) for name in usable)
    run_length = budget.arl(sides)
    signals = tuple(_signal(BY_NAME[name], points[name], run_length, lot_points) for name in usable)
    return Designed(
        signals=signals,
        left_out=left_out,
        profile=profile_of([one.deltas for one in collected.explanations]),
        overlay_range=_colour_range(collected),
        cups=cups_of([one.chromaticity for one in collected.cups]),
        run_length=run_length,
        lot_points=lot_points,
        lots=len(lots),
        windows=windows,
        points=points,
    )


def widened(made: Designed, run_length: float) -> Designed:
    """The same with limits for ``run_length`` points between two false alarms of one chart."""
    signals = []
    for signal in made.signals:
        spread = LotSpread(made.lots, signal.windows, signal.icc, signal.icc_upper, signal.rho)
        sides = _sides(BY_NAME[signal.name], limits_for(run_length, spread, made.lot_points))
        signals.append(signal.model_copy(update={"sides": sides}))
    return replace(made, run_length=run_length, signals=tuple(signals))


def points_by_lot(collected: Collected, window_s: float) -> LotPoints:
    """The windows of each lot, made as the running agent makes them; one left open is dropped."""
    points: LotPoints = defaultdict(lambda: defaultdict(list))
    likeness = _likeness(collected)
    for lot in collected.lots:
        fruit, explained = FruitMinutes(window_s), explanation_minutes(window_s)
        closed: list[Point] = []
        end = -math.inf
        for one in collected.fruit:
            if one.lot == lot:
                closed += fruit.add(on_chart_scale(one.values), one.angle_deg, one.mono)
                end = max(end, one.mono)
        for index, other in enumerate(collected.explanations):
            if other.lot == lot:
                values = on_chart_scale({**other.values, **likeness[index]})
                closed += explained.add(values, other.mono)
        closed += fruit.tick(end) + explained.tick(end)
        for point in closed:
            points[point.signal][lot].append(point)
    return points


def profile_of(deltas: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean of the effects, each scaled to length 1 so that one strong fruit does not stand for all.

    (0,) where there is none.
    """
    return _mean_of([each for each in map(_unit, deltas) if each is not None])


def _unit(deltas: NDArray[np.float64]) -> NDArray[np.float64] | None:
    length = float(np.linalg.norm(deltas))
    return deltas / length if length > 0 else None


def _mean_of(units: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.asarray(np.mean(units, axis=0), np.float64) if units else np.zeros(0)


def _likeness(collected: Collected) -> list[dict[str, float]]:
    """Cosine and nDCG of every explanation against the profile of all lots but its own."""
    lots = [one.lot for one in collected.explanations]
    units = [_unit(one.deltas) for one in collected.explanations]
    profiles = {
        lot: _mean_of(
            [u for u, its in zip(units, lots, strict=True) if u is not None and its != lot]
        )
        for lot in dict.fromkeys(lots)
    }
    return [
        {
            "profile_cosine": cosine(one.deltas, profiles[one.lot]),
            "profile_ndcg": ndcg(one.deltas, profiles[one.lot]),
        }
        for one in collected.explanations
    ]


def _usable(points: LotPoints, needed: int) -> tuple[list[str], dict[str, str]]:
    """Names of the signals that can be charted, and why the others cannot."""
    usable, left_out = [], {}
    for signal in SIGNALS:
        by_lot = points.get(signal.name, {})
        means = [point.mean for row in by_lot.values() for point in row]
        many = sum(len(row) > 1 for row in by_lot.values())
        if not means:
            left_out[signal.name] = "never defined"
        elif len(means) < needed // 2 or many < LEAST_LOTS:
            left_out[signal.name] = f"defined in {len(means)} windows of {many} lots only"
        else:
            try:
                normal_scores(means)
            except ConstantError:
                left_out[signal.name] = "constant: a change of it has no measure"
            except ValueError as error:
                left_out[signal.name] = str(error)
            else:
                usable.append(signal.name)
    return usable, left_out


def _signal(
    signal: Signal, by_lot: Mapping[str, list[Point]], run_length: float, lot_points: int
) -> SignalReference:
    rows = list(by_lot.values())
    means = np.array([point.mean for row in rows for point in row])
    scores = normal_scores(means)
    spread = spread_over_lots(
        [np.array([scores.score(point.mean) for point in row]) for row in rows]
    )
    limits = limits_for(run_length, spread, lot_points)
    low, high = (natural(signal, float(q)) for q in np.quantile(means, (0.01, 0.99)))
    return SignalReference(
        name=signal.name,
        count=max(1, round(float(np.median([p.count for row in rows for p in row])))),
        windows=len(means),
        values=scores.values,
        scores=scores.scores,
        low_slope=scores.low_slope,
        high_slope=scores.high_slope,
        icc=spread.icc,
        icc_upper=spread.icc_upper,
        rho=spread.rho,
        usual=(low, high),
        sides=_sides(signal, limits),
    )


def _sides(signal: Signal, limits: Limits) -> tuple[SideLimits, ...]:
    return tuple(
        SideLimits(
            sign=1 if sign > 0 else -1,
            ewma=limits.ewma,
            cusum=limits.cusum,
            shewhart=limits.shewhart,
        )
        for sign in signal.bad.signs
    )


def _colour_range(collected: Collected) -> dict[str, float]:
    peaks: dict[str, list[float]] = defaultdict(list)
    for one in collected.explanations:
        for name, peak in one.peaks.items():
            if peak > 0:
                peaks[name].append(peak)
    return {name: float(np.quantile(values, COLOUR_QUANTILE)) for name, values in peaks.items()}


def cups_of(chromaticities: Sequence[float]) -> CupReference | None:
    """The colour of the empty cups, by median and median absolute deviation: now and then one that
    is taken for empty holds a fruit. None for too few, and for cups that are all alike."""
    x = np.array([each for each in chromaticities if math.isfinite(each)])
    if len(x) < LEAST_CUPS:
        return None
    median = float(np.median(x))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(x - median)))
    return CupReference(count=len(x), median=median, spread=spread) if spread > 0 else None
