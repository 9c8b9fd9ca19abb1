"""When silence is a fault."""

from __future__ import annotations

import pytest

from agent.capture.silence import Rhythm, silence_limit_s
from agent.records import CaptureMode, MachineState

TRIGGERED, FREE_RUN = CaptureMode.TRIGGERED, CaptureMode.FREE_RUN


def rhythm(*stamps: float, fps: float = 0.0) -> Rhythm:
    made = Rhythm()
    made.declare(fps)
    for stamp in stamps:
        made.pictures(1, stamp)
    return made


def test_the_bar_is_one_second_or_ten_periods() -> None:
    assert rhythm(fps=30.0).shortest_silence_s == 1.0
    assert rhythm(fps=280 / 60).shortest_silence_s == pytest.approx(600 / 280)


def test_an_undeclared_rate_is_learnt_and_the_median_forgives_a_pause() -> None:
    stamps = [0.5 * n for n in range(10)] + [4.5 + 60 + 0.5 * n for n in range(5)]
    made = rhythm(*stamps)
    assert made.period_s == 0.5
    assert made.longest_pause_s == 60.0


def test_a_machine_that_became_slow_is_followed() -> None:
    made = rhythm(*[0.1 * n for n in range(40)], fps=10.0)
    for n in range(20):
        made.pictures(1, 4.0 + 3.0 * n)
    assert made.period_s == 3.0
    assert made.shortest_silence_s == 30.0


def test_several_pictures_in_one_look_count_as_several_intervals() -> None:
    made = rhythm(0.0)
    made.pictures(5, 1.0)
    assert made.period_s == 0.2


def test_the_time_between_two_sessions_is_no_interval() -> None:
    made = rhythm(0.0, 0.1)
    made.new_session()
    made.pictures(1, 1000.0)
    assert made.period_s == pytest.approx(0.1)
    assert made.longest_pause_s == 0.0


@pytest.mark.parametrize("state", [MachineState.STOPPED, MachineState.CLEANING])
def test_a_triggered_camera_may_be_silent_while_the_machine_stands(state: MachineState) -> None:
    assert silence_limit_s(rhythm(fps=5.0), TRIGGERED, state, 60.0) is None


@pytest.mark.parametrize("state", list(MachineState))
def test_a_free_running_camera_always_delivers(state: MachineState) -> None:
    assert silence_limit_s(rhythm(fps=5.0), FREE_RUN, state, 60.0) == 2.0


def test_a_triggered_camera_delivers_while_the_machine_runs() -> None:
    assert silence_limit_s(rhythm(fps=5.0), TRIGGERED, MachineState.RUNNING, 60.0) == 2.0


def test_without_a_machine_state_the_learnt_pauses_and_the_configured_time_decide() -> None:
    made = rhythm(fps=5.0)
    assert silence_limit_s(made, TRIGGERED, MachineState.UNKNOWN, 60.0) == 60.0
    for stamp in (0.0, 0.2, 0.4, 100.4, 100.6):
        made.pictures(1, stamp)
    assert silence_limit_s(made, TRIGGERED, MachineState.UNKNOWN, 60.0) == pytest.approx(150.0)


def test_a_night_is_learnt_only_up_to_a_cap() -> None:
    made = rhythm(0.0, 0.2, 0.4, 50_000.0, fps=5.0)
    assert made.longest_pause_s == 4 * 3600.0
