"""When a metric goes out."""

from __future__ import annotations

import math

import pytest

from agent.publishing.wire.deadband import Deadband, Sample
from agent.records import Quality

KEY = ("cam1", "fps")


def sample(value: float, quality: Quality = Quality.GOOD, stamp: int = 0) -> Sample:
    return Sample(value, quality, stamp)


@pytest.mark.parametrize(
    ("first", "second", "sent"),
    [
        (10.0, 10.1, False),
        (10.0, 10.2, True),
        (10.0, 9.8, True),
        (-10.0, -10.05, False),
        (0.0, 1e-9, True),
        (5.0, math.nan, True),
        (math.nan, 5.0, True),
        (math.nan, math.nan, False),
    ],
)
def test_only_a_change_beyond_the_deadband_goes_out(
    first: float, second: float, sent: bool
) -> None:
    deadband = Deadband(0.01, 30.0)
    assert deadband.offer(KEY, sample(first), 0.0)
    assert deadband.offer(KEY, sample(second), 1.0) is sent


def test_changes_add_up_against_the_value_last_sent_not_the_value_last_seen() -> None:
    deadband = Deadband(0.01, 1000.0)
    values = [10.0, 10.04, 10.08, 10.12]
    assert [deadband.offer(KEY, sample(value), 0.0) for value in values] == [
        True,
        False,
        False,
        True,
    ]


def test_a_change_of_quality_goes_out_whatever_the_value() -> None:
    deadband = Deadband(0.5, 30.0)
    deadband.offer(KEY, sample(10.0), 0.0)
    assert deadband.offer(KEY, sample(10.0, Quality.BAD), 0.1)


def test_the_newest_held_value_goes_out_once_the_interval_is_over() -> None:
    deadband = Deadband(0.5, 30.0)
    deadband.offer(KEY, sample(10.0, stamp=1), 0.0)
    deadband.offer(KEY, sample(10.1, stamp=2), 1.0)
    deadband.offer(KEY, sample(10.2, stamp=3), 2.0)
    assert deadband.due(29.9) == []
    assert deadband.due(30.0) == [(KEY, sample(10.2, stamp=3))]
    assert deadband.due(100.0) == []


def test_a_value_that_is_no_longer_measured_is_not_repeated() -> None:
    deadband = Deadband(0.5, 30.0)
    deadband.offer(KEY, sample(10.0), 0.0)
    assert deadband.due(1000.0) == []


def test_an_unchanged_value_is_sent_again_after_the_interval() -> None:
    deadband = Deadband(0.5, 30.0)
    deadband.offer(KEY, sample(10.0), 0.0)
    assert not deadband.offer(KEY, sample(10.0), 29.9)
    assert deadband.offer(KEY, sample(10.0), 30.0)
