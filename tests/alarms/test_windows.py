"""Windows against what can be worked out by hand."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from agent.alarms.windows import MeanWindow, QuantileWindow

samples = st.lists(st.floats(-1e6, 1e6), max_size=60)


@given(samples)
def test_the_mean_is_that_of_the_newest_samples(values: list[float]) -> None:
    window = MeanWindow(10)
    for value in values:
        window.add(value)
    newest = values[-10:]
    if not newest:
        assert math.isnan(window.mean)
        return
    assert math.isclose(window.mean, math.fsum(newest) / len(newest), abs_tol=1e-9)
    assert window.full == (len(values) >= 10)


def test_undefined_samples_are_counted_and_not_averaged() -> None:
    window = MeanWindow(4)
    for value in (1.0, math.nan, 3.0, math.inf):
        window.add(value)
    assert (window.mean, len(window), window.full, window.undefined) == (2.0, 2, False, False)
    for _ in range(4):
        window.add(math.nan)
    assert not window.undefined
    window.add(math.nan)
    assert window.undefined


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60))
def test_a_quantile_is_a_sample_that_the_share_does_not_exceed(values: list[float]) -> None:
    window = QuantileWindow(20, 0.95)
    for value in values:
        window.add(value)
    newest = values[-20:]
    answer = window.value
    assert answer in newest
    assert sum(value <= answer for value in newest) >= 0.95 * len(newest)
    assert sum(value < answer for value in newest) < 0.95 * len(newest)


def test_a_quantile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(QuantileWindow(5, 0.5).value)
