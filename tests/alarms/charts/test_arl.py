"""Run lengths of the charts against published tables, and against another way of computing them."""

from __future__ import annotations

import numpy as np
import pytest

from agent.alarms.charts import arl


@pytest.mark.parametrize(
    ("h", "shift", "published"),
    [
        # one-sided CUSUM, k = 0.5: Lucas 1976 (a two-sided one alarms twice as often)
        (4.0, 0.0, 335.4), (4.0, 0.5, 26.6), (4.0, 1.0, 8.38), (4.0, 2.0, 3.34),
        (5.0, 0.0, 930.9), (5.0, 0.5, 38.0), (5.0, 1.0, 10.4), (5.0, 2.0, 4.01),
    ],
)  # fmt: skip
def test_cusum_run_lengths_are_those_of_the_tables(
    h: float, shift: float, published: float
) -> None:
    assert arl.cusum_arl(0.5, h, shift) == pytest.approx(published, rel=0.005)


@pytest.mark.parametrize(
    ("weight", "limit", "shift", "published"),
    [
        # two-sided EWMA: Lucas and Saccucci 1990, table 3
        (0.1, 2.814, 0.0, 500.0), (0.1, 2.814, 0.5, 31.3), (0.1, 2.814, 1.0, 10.3),
        (0.25, 2.998, 0.0, 500.0), (0.25, 2.998, 1.0, 11.1), (0.4, 3.054, 0.0, 500.0),
    ],
)  # fmt: skip
def test_ewma_run_lengths_are_those_of_the_tables(
    weight: float, limit: float, shift: float, published: float
) -> None:
    assert arl.ewma_arl(weight, limit, shift) == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize(
    ("points", "ewma", "cusum"), [(1e4, 3.77, 7.38), (1e5, 4.35, 9.70), (576e3, 4.7, 11.4)]
)
def test_limits_for_rare_alarms_are_those_computed_elsewhere(
    points: float, ewma: float, cusum: float
) -> None:
    assert arl.ewma_limit(points) == pytest.approx(ewma, abs=0.03)
    assert arl.cusum_limit(points) == pytest.approx(cusum, abs=0.04)


def test_an_ewma_of_weight_one_is_a_shewhart_chart() -> None:
    assert arl.ewma_arl(1.0, 3.0) == pytest.approx(370.4, rel=1e-3)


def test_the_markov_chain_agrees_with_the_integral_equation() -> None:
    """ARL(u) = 1 + integral of ARL(x) phi((x - (1-w) u) / w) / w over the limits, by Gauss."""
    weight, limit = 0.1, 4.35
    bound = limit * arl.ewma_sigma(weight)
    nodes, weights = np.polynomial.legendre.leggauss(121)
    x, w = nodes * bound, weights * bound
    step = (x[None, :] - (1 - weight) * x[:, None]) / weight
    kernel = np.exp(-0.5 * step**2) / np.sqrt(2 * np.pi) / weight
    lengths = np.linalg.solve(np.eye(len(x)) - kernel * w[None, :], np.ones(len(x)))
    assert arl.ewma_arl(weight, limit) == pytest.approx(lengths[len(x) // 2], rel=0.02)


def test_a_simulation_counts_the_same_points() -> None:
    rng = np.random.default_rng(5)
    chains, k, h = 4000, 0.5, 3.0
    s, lengths, alive = np.zeros(chains), np.zeros(chains), np.ones(chains, bool)
    while alive.any():
        lengths[alive] += 1
        s = np.maximum(0, s + rng.standard_normal(chains) - k)
        alive &= s <= h
    error = lengths.std() / np.sqrt(chains)
    assert arl.cusum_arl(k, h) == pytest.approx(lengths.mean(), abs=4 * error)


def test_limits_turn_run_lengths_back() -> None:
    assert arl.cusum_arl(0.5, arl.cusum_limit(5e6)) == pytest.approx(5e6, rel=0.01)
    assert arl.ewma_arl(0.1, arl.ewma_limit(5e6)) == pytest.approx(5e6, rel=0.02)


@pytest.mark.parametrize("points", [0.5, 1e13, float("nan")])
def test_a_run_length_that_no_chart_has_is_refused(points: float) -> None:
    for limit in (arl.cusum_limit, arl.ewma_limit):
        with pytest.raises(ValueError, match="run length"):
            limit(points)
