"""One setting shared out over every chart and rule."""

from __future__ import annotations

import pytest

from agent.alarms.charts.budget import Budget


def test_forty_charts_on_minutes_of_a_shift_ask_for_the_known_run_length() -> None:
    budget = Budget(days=30, hours_a_day=8, window_s=60, margin=1.0)
    assert budget.points_a_day == 480
    assert budget.points_a_day * budget.days * 40 == 576_000
    assert budget.arl(sides=12) == 576_000  # 12 sides of three charts, and the four fixed rules


def test_all_shares_together_alarm_as_rarely_as_was_asked() -> None:
    budget = Budget(days=30, lanes=2)
    shares = budget.shares(sides=35)
    points = budget.days * budget.points_a_day
    assert points * shares / budget.arl(sides=35) == pytest.approx(1 / budget.margin)


def test_a_second_lane_asks_for_twice_the_run_length() -> None:
    assert Budget(lanes=2).arl(20) == 2 * Budget(lanes=1).arl(20)
