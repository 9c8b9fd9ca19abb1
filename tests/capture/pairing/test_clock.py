"""What the machine's clock says on ours, whatever network, drift and steps do."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.capture.pairing.clock import MachineClock

OFF_S = 1.7e9


def hear(clock: MachineClock, said_s: float, delay_s: float, off_s: float = OFF_S) -> bool:
    """Whether the clock is found to have stepped."""
    before = clock.generation
    clock.heard(said_s + delay_s, round(1000 * (said_s + off_s)))
    return clock.generation > before > 0


def told(clock: MachineClock, said_s: float, off_s: float = OFF_S) -> float:
    moment = clock.moment(round(1000 * (said_s + off_s)), clock.generation)
    assert moment is not None
    return moment


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.0, 0.6), st.floats(-1e9, 1e9))
def test_once_known_it_is_right_within_the_spread_that_agreed(
    seed: int, spread_s: float, off_s: float
) -> None:
    rng, clock = Random(seed), MachineClock()
    for i in range(200):
        hear(clock, 0.2 * i, rng.uniform(0, spread_s), off_s + 1e9)
    assert clock.known(0.1)
    assert -0.002 <= told(clock, 40.0, off_s + 1e9) - 40.0 <= 0.05


def test_one_late_message_first_delays_what_is_known_and_spoils_nothing() -> None:
    clock = MachineClock()
    hear(clock, 0.0, 0.19)
    for i in range(1, 3):
        hear(clock, 0.2 * i, 0.001)
        assert not clock.known(0.1)
    hear(clock, 0.6, 0.001)
    assert clock.known(0.1)
    assert abs(told(clock, 0.6) - 0.6) < 0.005


def test_a_bunch_agrees_with_itself_and_proves_nothing() -> None:
    clock = MachineClock()
    for i in range(10):
        clock.heard(5.0 + i * 0.001, round(1000 * (OFF_S + 1.0 + i * 0.001)))
    assert not clock.known(0.1)


def test_a_slow_network_is_no_step_and_a_step_is_learnt_anew() -> None:
    clock = MachineClock()
    for i in range(20):
        hear(clock, 0.2 * i, 0.002)
    for i in range(20, 30):
        assert not hear(clock, 0.2 * i, 1.6 - 0.1 * (i - 20))  # held up, then in a bunch
    assert clock.known(0.1)
    assert abs(told(clock, 6.0) - 6.0) < 0.01
    before = clock.generation
    stepped = [hear(clock, 0.2 * i, 0.002, OFF_S - 30) for i in range(40, 46)]
    assert stepped.count(True) == 1
    assert clock.generation == before + 1
    assert abs(told(clock, 9.0, OFF_S - 30) - 9.0) < 0.01


def test_what_was_said_before_a_step_keeps_its_moment() -> None:
    clock = MachineClock()
    for i in range(20):
        hear(clock, 0.2 * i, 0.002)
    old = clock.generation
    assert not hear(clock, 4.0, 0.002, OFF_S + 3600), "one stamp alone may be wrong"
    assert hear(clock, 4.2, 0.002, OFF_S + 3600)
    moment = clock.moment(round(1000 * (3.8 + OFF_S)), old)
    assert moment is not None
    assert abs(moment - 3.8) < 0.01
    for step in range(20):
        clock.restart(5.0 + step, 1)
    assert clock.moment(1000, old) is None, "kept for a bounded number of steps"
