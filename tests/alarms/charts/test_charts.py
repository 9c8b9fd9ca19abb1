"""Charts of one side, fed scores by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.alarms.charts.charts import Chart, Limits, SideCharts

LIMITS = Limits(ewma=1.1, cusum=12.0, shewhart=4.9)


def fed(*scores: float) -> SideCharts:
    side = SideCharts(LIMITS)
    for score in scores:
        side.update(score)
    return side


def test_a_lasting_shift_of_three_is_found_within_ten_points() -> None:
    side = SideCharts(LIMITS)
    points = next(n for n in range(1, 11) if side.update(3.0) or side.beyond)
    assert points <= 6


def test_one_gross_point_is_enough() -> None:
    assert fed(0.1, -0.3, 7.0).first is Chart.SHEWHART


def test_the_good_side_is_never_an_alarm() -> None:
    assert not fed(*[-6.0] * 50).beyond


def test_ordinary_points_leave_the_charts_within_their_limits() -> None:
    rng = np.random.default_rng(1)
    assert not fed(*rng.standard_normal(5000)).beyond


def test_a_mended_fault_ends_after_five_ordinary_points_however_long_it_lasted() -> None:
    side = fed(*[6.0] * 600)
    assert side.beyond
    for _ in range(4):
        side.update(0.0)
    assert side.beyond
    side.update(0.0)
    assert not side.beyond
    assert side.used() == 0.0


def test_one_ordinary_point_among_bad_ones_ends_nothing() -> None:
    side = fed(*[6.0] * 10, 0.0, 0.0, 6.0, 0.0, 0.0)
    assert side.beyond


def test_a_chart_moves_before_it_alarms() -> None:
    side = SideCharts(LIMITS)
    states = []
    for _ in range(20):
        side.update(1.6)
        states.append((side.moving, side.beyond))
    assert (True, False) in states
    assert states.index((True, False)) < states.index((True, True))


def test_nan_is_no_point() -> None:
    side = fed(2.0, math.nan, 2.0)
    assert side.points == 2
    assert side.ewma == pytest.approx(fed(2.0, 2.0).ewma)


def test_a_limit_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Limits(ewma=1.0, cusum=math.inf, shewhart=3.0)
