"""Windows of time, on a fake clock."""

from __future__ import annotations

import math

import pytest

from agent.alarms.charts.minutes import Point, WindowMeans


def test_a_window_becomes_one_point_with_its_mean_and_count() -> None:
    means = WindowMeans(60.0, least=3)
    for second in range(0, 60, 10):
        assert means.add({"a": float(second), "b": 1.0}, 100.0 + second) == []
    closed = means.tick(160.0)
    assert closed == [Point("a", 25.0, 6, 160.0), Point("b", 1.0, 6, 160.0)]
    assert means.tick(161.0) == []


def test_a_sample_after_the_end_closes_the_window_and_begins_the_next() -> None:
    means = WindowMeans(60.0, least=1)
    means.add({"a": 1.0}, 0.0)
    assert means.add({"a": 9.0}, 75.0) == [Point("a", 1.0, 1, 60.0)]
    assert means.tick(134.9) == []
    assert means.tick(135.0) == [Point("a", 9.0, 1, 135.0)]


def test_a_rare_signal_waits_for_enough_values() -> None:
    means = WindowMeans(60.0, least=4)
    points: list[Point] = []
    for minute in range(3):
        points += means.add({"a": 2.0}, minute * 60.0)
        points += means.add({"a": 4.0}, minute * 60.0 + 1)
    points += means.tick(180.0)
    assert [(point.mean, point.count) for point in points] == [(3.0, 4)]


def test_values_that_are_too_few_for_too_long_are_dropped_and_counted() -> None:
    means = WindowMeans(60.0, least=100)
    for minute in range(7):
        means.add({"a": 1.0}, minute * 60.0)
    assert means.dropped == 5


def test_nan_is_counted_and_never_averaged() -> None:
    means = WindowMeans(60.0, least=2)
    for value in (1.0, math.nan, 3.0, math.inf):
        means.add({"a": value}, 0.0)
    (point,) = means.tick(60.0)
    assert (point.mean, point.count, means.undefined) == (2.0, 2, 2)


def test_a_signal_of_nothing_but_nan_gives_no_point() -> None:
    means = WindowMeans(60.0, least=1)
    means.add({"a": math.nan}, 0.0)
    assert means.tick(60.0) == []


def test_what_was_gathered_before_a_hold_is_forgotten() -> None:
    means = WindowMeans(60.0, least=1)
    means.add({"a": 100.0}, 0.0)
    means.hold()
    means.add({"a": 1.0}, 50.0)
    assert means.tick(70.0) == []
    (point,) = means.tick(110.0)
    assert point.mean == 1.0
    assert means.dropped == 1


@pytest.mark.parametrize("jump_s", [-30.0, 0.0])
def test_a_stamp_from_the_past_counts_into_the_open_window(jump_s: float) -> None:
    means = WindowMeans(60.0, least=1)
    means.add({"a": 1.0}, 100.0)
    means.add({"a": 3.0}, 100.0 + jump_s)
    (point,) = means.tick(160.0)
    assert point.mean == 2.0
