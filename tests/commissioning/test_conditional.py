"""How long charts run, given how the sample came out."""

from __future__ import annotations

import numpy as np
import pytest

from agent.alarms.lots import (
    CHAINS,
    LotSpread,
    exceeded_by,
    largest_of_lots,
    limits_for,
    points_of_lots,
    spread_over_lots,
)
from agent.commissioning import conditional
from agent.commissioning.conditional import ConditionalRun, conditional_run
from agent.commissioning.design import designed
from tests.commissioning.test_design import BUDGET, made_up

RUN_LENGTH, LOT_POINTS = 20_000.0, 15
INDEPENDENT = LotSpread(12, 180, 0.0, 0.0, 0.0)


def run_of(lots: int) -> ConditionalRun:
    made = designed(made_up(1, lots, 12), BUDGET)
    return conditional_run(made.signals, BUDGET, made.run_length, made.lots, made.lot_points)


@pytest.mark.parametrize("sign", [1, -1])
def test_points_that_are_seen_as_they_are_alarm_as_often_as_designed(sign: int) -> None:
    """Three charts, each once in the run length that their limits are made for by Markov chain."""
    limits = limits_for(RUN_LENGTH, INDEPENDENT, LOT_POINTS)
    z = points_of_lots(0.0, 0.0, LOT_POINTS, CHAINS)
    rate = conditional._rate(sign * conditional._GRID, sign, z, limits)
    assert rate == pytest.approx(3 / RUN_LENGTH, rel=0.25)


@pytest.mark.parametrize(("scale", "shift"), [(1.2, 0.0), (1.0, 0.4)])
def test_a_sample_that_came_out_narrow_or_aside_alarms_more_often(
    scale: float, shift: float
) -> None:
    limits = limits_for(RUN_LENGTH, INDEPENDENT, LOT_POINTS)
    z = points_of_lots(0.0, 0.0, LOT_POINTS, 500)
    seen = scale * conditional._GRID + shift
    assert conditional._rate(seen, 1, z, limits) > 3 * 3 / RUN_LENGTH
    if shift:
        assert conditional._rate(-seen, -1, z, limits) < 0.7 * 3 / RUN_LENGTH


def test_samples_have_the_share_of_lots_and_the_correlation_of_the_model() -> None:
    rows = conditional._sample(np.random.default_rng(0), 0.3, 0.5, (4000, 12))
    assert rows.var() == pytest.approx(1.0, abs=0.05)
    found = spread_over_lots(list(rows[:400]))
    assert found.icc > 0.3, "correlated neighbours look like lots as well"
    level = (
        rows.mean(1).var()
        - 0.7 * (np.fromfunction(lambda i, j: 0.5 ** abs(i - j), (12, 12))).mean()
    )
    assert level == pytest.approx(0.3, abs=0.03)
    within = rows - rows.mean(1, keepdims=True)
    assert np.corrcoef(within[:, :-1].ravel(), within[:, 1:].ravel())[0, 1] > 0.2


def test_the_share_of_lots_beyond_a_limit_is_that_of_the_limits_own_tail() -> None:
    ewma, cusum = largest_of_lots(points_of_lots(0.2, 0.3, LOT_POINTS, CHAINS))
    for largest in (np.square(ewma), cusum):
        inside = float(np.quantile(largest, 0.9))
        assert exceeded_by(largest, inside) == pytest.approx(0.1, abs=0.01)
        tail = [exceeded_by(largest, float(np.quantile(largest, q))) for q in (0.99, 0.999)]
        assert tail == pytest.approx([0.01, 0.001], rel=0.35)
        assert 0 < exceeded_by(largest, 3 * float(largest.max())) < 1e-6


def test_more_lots_make_the_run_length_surer_and_it_lies_around_what_was_designed() -> None:
    few, many = run_of(10), run_of(40)
    aim = BUDGET.days * BUDGET.margin
    assert few.low_days < few.median_days < few.high_days
    assert many.low_days > few.low_days
    assert many.high_days / many.low_days < few.high_days / few.low_days
    assert aim / 3 < many.median_days < 3 * aim
    assert run_of(10) == few, "seeded"
    assert f"{few.median_days:.3g} production days" in few.sentence
