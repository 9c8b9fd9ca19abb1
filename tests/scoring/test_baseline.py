"""The tests to beat, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.alarms.charts.budget import Budget
from agent.scoring.baseline import BaselineCharts, ks_statistic, learn, windows_of
from agent.scoring.errors import ScoringError
from agent.scoring.replay import whole
from tests.scoring.support import recording

BUDGET = Budget(days=30.0)


def ks(window: list[float], usual: list[float]) -> float:
    return ks_statistic(np.array(window), np.sort(np.array(usual)))


def test_samples_apart_differ_by_all() -> None:
    assert ks([1, 2], [3, 4]) == pytest.approx(1.0 * math.sqrt(2 * 2 / 4))


def test_equal_samples_do_not_differ() -> None:
    assert ks([3, 1, 2], [1, 2, 3]) == 0.0


def test_the_largest_step_between_two_samples_counts() -> None:
    # F of {1, 2, 3, 4} and G of {3, 4, 5}: after 2, F = 1/2 and G = 0; after 4, F = 1, G = 2/3.
    assert ks([1, 2, 3, 4], [3, 4, 5]) == pytest.approx(0.5 * math.sqrt(4 * 3 / 7))


def test_ties_count_once_on_both_sides() -> None:
    # After 1: F = 2/3, G = 1/3; after 2: both 1.
    assert ks([1, 1, 2], [1, 2, 2]) == pytest.approx(1 / 3 * math.sqrt(9 / 6))


def test_an_empty_sample_has_no_statistic() -> None:
    assert math.isnan(ks([], [1.0]))


def test_a_shift_of_the_outputs_is_found_and_ordinary_lots_are_not() -> None:
    tests = learn([recording(seed) for seed in range(4)], BUDGET)
    quiet = BaselineCharts(tests)
    assert quiet.play(whole(recording(50)), 0.0) is None
    found = BaselineCharts(tests).play(whole(recording(51, shift={"softmax": 2.0})), 0.0)
    assert found == pytest.approx(60.0, abs=1.0), "at the end of the first window"


def test_empty_cups_say_nothing() -> None:
    lot = recording(3, minutes=2)
    lot.reason[:35] = 1
    assert [len(window) for window in windows_of(lot, 60.0)] == [25, 60]


def test_a_change_of_variety_starts_the_tests_anew() -> None:
    charts = BaselineCharts(learn([recording(seed) for seed in range(4)], BUDGET))
    charts.play(whole(recording(51, shift={"softmax": 2.0})), 0.0)
    assert charts.beyond
    charts.reset()
    assert not charts.beyond


def test_too_few_lots_to_learn_from_are_said_with_how_many_are_missing() -> None:
    with pytest.raises(ScoringError, match="1 lots with 15 windows; 25 windows more"):
        learn([recording(1)], BUDGET)
