"""Quantiles and rates of the last minute."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.observability.quantiles import WindowQuantiles, WindowRate, quantile


def test_without_a_sample_every_quantile_is_unknown_and_not_zero() -> None:
    empty = WindowQuantiles().snapshot(now=0.0)
    assert math.isnan(empty.p50_s)
    assert math.isnan(empty.p99_s)
    assert empty.count == 0


def test_the_quantiles_are_those_of_a_hundred_known_values() -> None:
    window = WindowQuantiles()
    for value in range(100, 0, -1):
        window.add(float(value), now=1.0)
    seen = window.snapshot(now=1.0)
    assert (seen.p50_s, seen.p95_s, seen.p99_s, seen.count) == (50.0, 95.0, 99.0, 100)


def test_a_sample_older_than_the_window_is_forgotten() -> None:
    window = WindowQuantiles(window_s=60.0)
    window.add(9.0, now=0.0)
    window.add(1.0, now=50.0)
    assert window.snapshot(now=60.0).p99_s == 9.0
    assert window.snapshot(now=60.1).p99_s == 1.0
    assert window.snapshot(now=200.0).count == 0


def test_memory_stays_bounded_and_the_newest_samples_stay() -> None:
    window = WindowQuantiles(capacity=10)
    for value in range(1000):
        window.add(float(value), now=0.0)
    seen = window.snapshot(now=0.0)
    assert seen.count == 10
    assert seen.p50_s == 994.0


@given(
    st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.95, 0.99]),
)
def test_a_quantile_is_the_smallest_value_with_that_share_at_or_below(
    values: list[float], q: float
) -> None:
    ordered = sorted(values)
    answer = quantile(ordered, q)
    assert sum(v <= answer for v in ordered) >= q * len(ordered)
    assert sum(v < answer for v in ordered) < q * len(ordered)


def test_a_steady_stream_has_its_rate_before_and_after_the_window_is_full() -> None:
    rate = WindowRate()
    for tick in range(5 * 120):
        rate.add(1, now=tick / 5)
        if tick == 5 * 20:
            assert rate.per_second(tick / 5) == pytest.approx(5.0, rel=0.1)
    assert rate.per_second(120.0) == pytest.approx(5.0, rel=0.05)


def test_a_stream_that_has_ended_falls_to_zero() -> None:
    rate = WindowRate()
    for tick in range(100):
        rate.add(1, now=float(tick))
    assert rate.per_second(300.0) == 0.0


def test_the_rate_is_unknown_before_there_is_enough_to_count() -> None:
    rate = WindowRate()
    assert math.isnan(rate.per_second(0.0))
    rate.add(1, now=10.0)
    assert math.isnan(rate.per_second(11.0))
