"""Limits for points that come in lots: seeded simulations against what they are to hold."""

from __future__ import annotations

import numpy as np
import pytest

from agent.alarms.charts.lots import (
    CHAINS,
    Largest,
    LotSpread,
    chi_squared_quantile,
    inflation,
    largest_of_lots,
    limits_for,
    points_of_lots,
    spread_over_lots,
)

FREE = LotSpread(lots=40, points=800, icc=0.0, icc_upper=0.0, rho=0.0)


def lots(rng: np.random.Generator, count: int, icc: float, size: int = 20) -> list[np.ndarray]:
    levels = rng.normal(0, np.sqrt(icc), count)
    return [level + rng.normal(0, np.sqrt(1 - icc), size) for level in levels]


@pytest.mark.parametrize(
    ("share", "degrees", "table"), [(0.1, 9, 4.168), (0.1, 39, 28.196), (0.95, 10, 18.307)]
)
def test_quantiles_of_chi_squared_are_those_of_the_table(
    share: float, degrees: int, table: float
) -> None:
    assert chi_squared_quantile(share, degrees) == pytest.approx(table, rel=0.02)


def test_few_lots_cost_wide_limits() -> None:
    assert inflation(5) > 1.9
    assert inflation(10) < 1.5
    assert inflation(40) < 1.2


def test_the_share_of_the_lots_is_found_and_its_bound_lies_above_it() -> None:
    rng = np.random.default_rng(7)
    held = [spread_over_lots(lots(rng, 12, 0.3)) for _ in range(200)]
    assert np.median([s.icc for s in held]) == pytest.approx(0.29, abs=0.06)
    assert np.mean([s.icc_upper >= 0.3 for s in held]) >= 0.85


def test_points_without_lots_have_no_share_and_no_neighbours() -> None:
    found = spread_over_lots(lots(np.random.default_rng(8), 60, 0.0))
    assert found.icc_upper < 0.02
    assert found.rho == 0.0


def test_points_that_hang_together_are_noticed() -> None:
    rng = np.random.default_rng(9)
    chained = []
    for _ in range(30):
        e = [rng.standard_normal()]
        for _ in range(29):
            e.append(0.5 * e[-1] + np.sqrt(0.75) * rng.standard_normal())
        chained.append(np.array(e))
    assert spread_over_lots(chained).rho == pytest.approx(0.5, abs=0.12)


def test_nan_is_no_point_and_two_lots_are_the_least() -> None:
    holed = [np.array([0.1, np.nan, 0.3, -0.2]), np.array([0.0, 0.4, np.nan])]
    assert spread_over_lots(holed).points == 5
    with pytest.raises(ValueError, match="two lots"):
        spread_over_lots([np.array([1.0, 2.0, 3.0])])


def test_without_lots_the_limits_are_those_of_independent_points() -> None:
    limits = limits_for(1e5, FREE, 20)
    assert limits.cusum == pytest.approx(9.68, abs=0.05)
    assert limits.shewhart == pytest.approx(4.265, abs=0.01)


def test_limits_hold_what_they_promise_where_lots_differ() -> None:
    icc, promised = 0.15, 2000.0
    limits = limits_for(promised, LotSpread(40, 800, icc, icc, 0.0), 20)
    rng = np.random.default_rng(11)
    chains, steps = 3000, 400
    ewma, cusum = np.zeros(chains), np.zeros(chains)
    alarms = {"ewma": 0, "cusum": 0}
    for step in range(steps):
        if step % 20 == 0:
            level = np.sqrt(icc) * rng.standard_normal(chains)
        z = level + np.sqrt(1 - icc) * rng.standard_normal(chains)
        ewma += 0.1 * (z - ewma)
        cusum = np.maximum(0, cusum + z - 0.5)
        for name, value, limit in (("ewma", ewma, limits.ewma), ("cusum", cusum, limits.cusum)):
            over = value > limit
            alarms[name] += int(over.sum())
            value[over] = 0.0
    expected = chains * steps / promised
    assert 0.5 * expected < alarms["ewma"] < 1.2 * expected
    assert 0.5 * expected < alarms["cusum"] < 1.2 * expected


def test_limits_for_independent_points_would_not_hold_it() -> None:
    free = limits_for(2000.0, FREE, 20)
    held = limits_for(2000.0, LotSpread(40, 800, 0.15, 0.15, 0.0), 20)
    assert held.cusum > 1.5 * free.cusum
    assert held.ewma > 1.2 * free.ewma
    assert held.shewhart == free.shewhart


@pytest.mark.parametrize("chart", [0, 1])
def test_the_share_of_lots_beyond_a_limit_turns_the_limit_back(chart: int) -> None:
    largest = largest_of_lots(points_of_lots(0.2, 0.3, 15, CHAINS))[chart]
    for share in (0.5, 0.1, 0.01, 1e-3, 1e-6):
        assert largest.beyond(largest.limit(share)) == pytest.approx(share, rel=0.01)


def test_what_is_kept_of_the_lots_tells_how_many_exceed_a_limit() -> None:
    values = np.square(np.random.default_rng(6).standard_normal(45_000))
    largest = Largest.of(values)
    for share in (0.5, 0.1, 0.02, 0.005, 0.001):
        limit = float(np.quantile(values, 1.0 - share))
        assert largest.beyond(limit) == pytest.approx((values > limit).mean(), rel=0.25)
    assert 0 < largest.beyond(3 * float(values.max())) < 1e-6


def test_an_exponential_tail_is_found() -> None:
    largest = Largest.of(np.random.default_rng(5).exponential(2.0, 200_000))
    assert largest.beyond(2.0 * np.log(1e4)) == pytest.approx(1e-4, rel=0.2)
    assert largest.limit(1e-4) == pytest.approx(2.0 * np.log(1e4), rel=0.03)
