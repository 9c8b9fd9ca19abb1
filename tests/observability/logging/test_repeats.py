"""The first few of a kind are written, the rest are counted, and no count is lost."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from agent.observability.logging.repeats import KEYS_MAX, RepeatLimiter


def test_the_first_few_in_a_window_are_written_and_the_rest_counted() -> None:
    limiter = RepeatLimiter(window_s=10.0, limit=3)
    assert [limiter.admit("a", now=float(t)) for t in range(5)] == [True] * 3 + [False] * 2
    assert limiter.ended(now=9.9) == []
    assert limiter.ended(now=10.0) == [("a", 2)]
    assert limiter.ended(now=10.0) == []
    assert limiter.admit("a", now=10.0)


def test_different_events_have_windows_of_their_own() -> None:
    limiter = RepeatLimiter(window_s=10.0, limit=1)
    assert limiter.admit("a", now=0.0)
    assert limiter.admit("b", now=0.0)
    assert not limiter.admit("a", now=1.0)


def test_a_window_without_repeats_ends_in_silence() -> None:
    limiter = RepeatLimiter(window_s=10.0, limit=1)
    limiter.admit("a", now=0.0)
    assert limiter.ended(now=100.0) == []


def test_memory_is_bounded_and_the_oldest_count_is_told_when_it_must_go() -> None:
    limiter = RepeatLimiter(window_s=1e9, limit=1)
    limiter.admit("first", now=0.0)
    limiter.admit("first", now=0.0)
    told = []
    for number in range(3 * KEYS_MAX):
        told += limiter.ended(now=1.0)
        limiter.admit(number, now=1.0)
    assert told == [("first", 1)]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5)), max_size=200),
    st.integers(1, 4),
)
def test_every_event_is_either_written_or_counted(
    events: list[tuple[str, float]], limit: int
) -> None:
    limiter, now, written, counted = RepeatLimiter(10.0, limit), 0.0, 0, 0
    for key, gap in events:
        now += gap
        counted += sum(count for _, count in limiter.ended(now))
        written += limiter.admit(key, now)
    counted += sum(count for _, count in limiter.ended(math.inf))
    assert written + counted == len(events)
