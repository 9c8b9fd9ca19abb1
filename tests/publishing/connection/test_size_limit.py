"""What is made of a broker that hangs up, without a broker."""

from __future__ import annotations

import pytest

from agent.publishing.connection.events import UNLIMITED
from agent.publishing.connection.size_limit import FORGET_S, STRIKES, Hangups


def strike(hangups: Hangups, size: int, answered: int = 100) -> int | None:
    """A connection that answers a small message and ends at one that went alone."""
    hangups.opened()
    hangups.answered(answered)
    assert hangups.goes_alone(size)
    hangups.sent_alone(size)
    assert hangups.waits()
    return hangups.hung_up((size,), 0.0)


@pytest.fixture
def hangups() -> Hangups:
    """After the first connection that ended with messages unanswered."""
    hangups = Hangups()
    hangups.opened()
    hangups.answered(100)
    assert hangups.hung_up((200, 50_000), 0.0) is None
    return hangups


def test_as_long_as_nothing_is_wrong_everything_goes_together() -> None:
    hangups = Hangups()
    hangups.opened()
    assert not hangups.goes_alone(1_000_000)
    assert hangups.limit_bytes(0.0) == UNLIMITED
    assert hangups.hung_up((), 0.0) is None
    assert not hangups.goes_alone(1_000_000), "nothing was on its way"


def test_a_size_that_ends_the_connection_three_times_is_too_large(hangups: Hangups) -> None:
    sizes = [50_000, 48_000, 52_000]
    assert [strike(hangups, size) for size in sizes] == [None] * (STRIKES - 1) + [48_000]
    assert hangups.limit_bytes(1.0) == 47_999


def test_while_a_size_is_too_large_a_smaller_one_is_after_a_single_time(hangups: Hangups) -> None:
    for _ in range(STRIKES):
        strike(hangups, 50_000)
    assert strike(hangups, 40_000) == 40_000
    assert hangups.limit_bytes(1.0) == 39_999


def test_the_limit_is_forgotten_after_an_hour(hangups: Hangups) -> None:
    for _ in range(STRIKES):
        strike(hangups, 50_000)
    assert hangups.limit_bytes(FORGET_S - 1) < 50_000
    assert hangups.limit_bytes(FORGET_S) == UNLIMITED


def test_a_size_that_was_answered_meanwhile_is_not(hangups: Hangups) -> None:
    strike(hangups, 50_000)
    strike(hangups, 50_000)
    hangups.opened()
    hangups.answered(50_000)
    assert hangups.hung_up((300,), 0.0) is None
    assert strike(hangups, 50_000) is None


def test_a_broker_that_answers_nothing_at_all_is_no_matter_of_size(hangups: Hangups) -> None:
    for _ in range(2 * STRIKES):
        hangups.opened()
        hangups.sent_alone(50_000)
        assert hangups.hung_up((50_000,), 0.0) is None
    assert hangups.limit_bytes(0.0) == UNLIMITED


def test_what_is_no_larger_than_something_answered_does_not_wait(hangups: Hangups) -> None:
    hangups.opened()
    hangups.answered(10_000)
    assert not hangups.goes_alone(10_000)
    assert hangups.goes_alone(10_001)
