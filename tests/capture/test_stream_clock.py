"""A stream's time stamps on this machine's clock: age, queues, drift, jumps. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.sources.stream_clock import DRIFT, REORDERED, StreamClock

PERIOD = 0.2
STALL = 5.0


class Stream:
    """Pictures made at ``made`` arrive at ``came``; the camera's clock has another zero."""

    def __init__(self, max_age_s: float = 2.0, zero: float = -1234.5) -> None:
        self.clock = StreamClock(max_age_s, STALL)
        self.zero = zero
        self.came = 0.0

    def arrive(self, made: float, came: float) -> float:
        """Return how much older the picture is than it is said to be."""
        self.clock.arrive(made + self.zero, came, came - self.came)
        self.came = came
        return self.clock.captured_mono(made + self.zero, came) - made

    def run(self, begin: float, count: int, delay: float = 0.0) -> list[float]:
        return [self.arrive(begin + n * PERIOD, begin + n * PERIOD + delay) for n in range(count)]


def test_pictures_at_their_own_pace_are_as_old_as_their_way_is_long() -> None:
    stream = Stream()
    assert stream.run(100.0, 20, delay=0.03) == pytest.approx([0.03] * 20, abs=1e-6)
    assert stream.clock.settled


def test_the_burst_after_a_stall_shows_its_age() -> None:
    stream = Stream()
    stream.run(100.0, 20)
    burst = [stream.arrive(104.0 + n * PERIOD, 107.0 + n * 0.001) for n in range(15)]
    assert max(map(abs, burst)) < 0.01
    assert max(map(abs, stream.run(107.0, 10))) < 0.01


def test_the_queue_at_a_connect_is_not_believed_before_it_is_empty() -> None:
    stream = Stream()
    for n in range(20):  # four seconds of pictures at once
        stream.arrive(100.0 + n * PERIOD, 104.0 + n * 0.002)
        assert not stream.clock.settled
    later = stream.run(104.1, 4)
    assert stream.clock.settled
    assert max(later) < 0.11
    assert stream.clock.captured_mono(100.0 + stream.zero, 104.0) == pytest.approx(100.0, abs=0.15)


def test_silence_says_that_no_queue_stands_before_the_newest() -> None:
    stream = Stream()
    stream.clock.quiet()
    assert not stream.clock.settled, "before the first picture nothing is known"
    stream.arrive(100.0, 100.0)
    assert not stream.clock.settled
    stream.clock.quiet()
    assert stream.clock.settled


@pytest.mark.parametrize("drift", [-1e-4, 1e-4])
def test_a_clock_that_is_off_is_followed_for_hours(drift: float) -> None:
    clock = StreamClock(2.0, STALL)
    for n in range(20_000):
        made = n * PERIOD
        clock.arrive(made * (1 + drift), made)
        if clock.settled:
            seen = clock.captured_mono(made * (1 + drift), made)
            assert seen == pytest.approx(made, abs=0.001)


def test_what_a_slow_network_adds_is_not_taken_for_drift() -> None:
    stream = Stream()
    stream.run(0.0, 50)
    hidden = stream.run(10.0, 300, delay=1.5)  # for a minute, and below max_age_s
    assert max(hidden) <= DRIFT * 62 + 0.01


@pytest.mark.parametrize("jump", [-3600.0, -40.0, 40.0, 3600.0])
def test_a_clock_that_was_set_begins_anew(jump: float) -> None:
    stream = Stream()
    stream.run(100.0, 20)
    stream.zero += jump
    assert stream.run(104.0, 20) == pytest.approx([0.0] * 20, abs=1e-3)
    assert stream.clock.trusted
    burst = [stream.arrive(108.0 + n * PERIOD, 111.0 + n * 0.001) for n in range(15)]
    assert max(map(abs, burst)) < 0.02, "and is believed again"


def test_a_clock_that_falls_back_a_little_begins_anew_when_that_is_no_order_of_pictures() -> None:
    stream = Stream()
    stream.run(100.0, 20)
    stream.zero -= 3.0
    later = stream.run(104.0, 30)
    assert later[0] == pytest.approx(-3.0, abs=0.01), "as old as its stamp says"
    assert later[REORDERED:] == pytest.approx([0.0] * (30 - REORDERED), abs=1e-3)


def test_a_clock_that_jumps_ahead_a_little_costs_nothing() -> None:
    stream = Stream()
    stream.run(100.0, 20)
    stream.zero += 3.0
    assert stream.run(104.0, 10) == pytest.approx([0.0] * 10, abs=1e-3)


@pytest.mark.parametrize("away", [-9_800.0, 37_600.0])
def test_a_picture_stamped_hours_away_from_its_neighbours_costs_nothing(away: float) -> None:
    stream = Stream()
    for n in range(100):
        made = 100.0 + n * PERIOD
        zero, stream.zero = stream.zero, stream.zero + (away if n % 10 == 9 else 0.0)
        assert stream.arrive(made, made) == pytest.approx(0.0, abs=1e-3), n
        stream.zero = zero
    assert stream.clock.trusted


def test_an_encoder_that_stamps_a_rate_that_it_does_not_keep_is_soon_not_believed() -> None:
    """It says 25 a second and sends 21: its stamps fall behind by a sixth of the time."""
    clock = StreamClock(2.0, STALL)
    ages = []
    for n in range(2000):
        came = 100.0 + n / 21
        clock.arrive(n / 25, came, 0.03)
        ages.append(came - clock.captured_mono(n / 25, came))
    assert not clock.trusted
    assert ages[-1000:] == [0.0] * 1000
    assert sum(age > 2.0 for age in ages) / 21 < 6.0, "seconds of pictures that this costs"


def test_b_pictures_are_older_than_those_sent_before_them() -> None:
    stream = Stream()
    for n in range(0, 300, 3):  # P, then the two before it
        sent = 100.0 + (n + 3) * PERIOD
        assert stream.arrive(100.0 + (n + 3) * PERIOD, sent) == pytest.approx(0.0, abs=1e-3)
        assert stream.arrive(100.0 + (n + 1) * PERIOD, sent + 0.01) == pytest.approx(0.0, abs=1e-3)
        assert stream.arrive(100.0 + (n + 2) * PERIOD, sent + 0.02) == pytest.approx(0.0, abs=1e-3)
    assert stream.clock.settled


def test_a_picture_without_a_stamp_is_as_old_as_its_arrival() -> None:
    clock = StreamClock(2.0, STALL)
    clock.arrive(None, 100.0)
    assert clock.settled
    assert clock.captured_mono(None, 100.0) == 100.0


def test_stamps_that_stand_still_while_the_belt_does_are_believed_once_and_then_no_more() -> None:
    """An encoder that counts pictures: after every pause of the belt all look older by it."""
    stream = Stream()
    stream.run(100.0, 20)
    stream.zero -= 10.0
    late = stream.run(114.0, 30)
    assert late[0] == pytest.approx(-10.0, abs=0.02)
    assert late[-1] == pytest.approx(0.0, abs=0.01), "the clock was set, and is believed again"
    assert stream.clock.trusted
    stream.zero -= 10.0
    late = stream.run(130.0, 30)
    assert late[-1] == pytest.approx(0.0, abs=0.01)
    assert not stream.clock.trusted
    stream.zero -= 10.0
    assert stream.run(150.0, 5) == pytest.approx([0.0] * 5)


def test_stamps_that_are_all_the_same_are_soon_not_believed() -> None:
    clock = StreamClock(2.0, STALL)
    seen = []
    for n in range(100):
        clock.arrive(7.0, 100.0 + n * PERIOD, PERIOD)
        seen.append(100.0 + n * PERIOD - clock.captured_mono(7.0, 100.0 + n * PERIOD))
    assert seen[-40:] == [0.0] * 40
    assert not clock.trusted


def test_a_network_that_is_too_slow_is_no_clock_that_was_set() -> None:
    """Its queue grows: every picture is later than the one before, and the next follows at once."""
    stream = Stream()
    stream.run(100.0, 20)
    hidden = []
    for n in range(100):
        made = 104.0 + n * PERIOD
        came = 104.0 + n * 1.3 * PERIOD
        stream.clock.arrive(made + stream.zero, came, 0.01)
        hidden.append(stream.clock.captured_mono(made + stream.zero, came) - made)
    assert max(hidden) <= DRIFT * 30
    assert stream.clock.trusted


@given(
    delays=st.lists(st.floats(0, 1.9), min_size=20, max_size=80),
    least=st.floats(0, 0.05),
)
def test_no_picture_is_said_to_be_younger_than_the_quickest_way_allows(
    delays: list[float], least: float
) -> None:
    """Once one picture came by the quickest way, all ages are right, whatever the network does."""
    stream = Stream()
    made = 100.0
    came = 0.0
    stream.arrive(made, made + least)
    for delay in delays:
        made += PERIOD
        came = max(came, made + least + delay)  # a network keeps the order
        hidden = stream.arrive(made, came)
        assert hidden <= least + DRIFT * (came - 100.0) + 1e-6
        assert hidden >= 0.0 - 1e-6


def test_no_stamp_is_later_than_the_arrival() -> None:
    stream = Stream()
    stream.arrive(100.0, 100.0)
    assert stream.clock.captured_mono(500.0 + stream.zero, 101.0) == 101.0
