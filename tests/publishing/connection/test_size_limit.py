"""A broker that closes the connection at large packets and does not say so, without a broker."""

from __future__ import annotations

import pytest

from agent.publishing.connection.events import UNLIMITED
from agent.publishing.connection.size_limit import (
    CLOSES_MAX,
    SUSPECT_FROM_BYTES,
    VALID_S,
    SizeLimit,
)


def probe(limit: SizeLimit, size: int, answered: int = 100) -> int | None:
    """A connection that answers a small message and ends at one that went alone."""
    limit.opened()
    limit.answered(answered)
    assert limit.is_probe(size)
    limit.probe_sent(size)
    assert limit.probing()
    return limit.closed((size,), 0.0)


@pytest.fixture
def limit() -> SizeLimit:
    """After the first connection that ended with messages unanswered."""
    limit = SizeLimit()
    limit.opened()
    limit.answered(100)
    assert limit.closed((200, 50_000), 0.0) is None
    return limit


def test_as_long_as_nothing_is_wrong_everything_goes_together() -> None:
    limit = SizeLimit()
    limit.opened()
    assert not limit.is_probe(1_000_000)
    assert limit.limit_bytes(0.0) == UNLIMITED
    assert limit.closed((), 0.0) is None
    assert not limit.is_probe(1_000_000), "nothing was on its way"


def test_a_size_that_ends_the_connection_three_times_is_too_large(limit: SizeLimit) -> None:
    sizes = [50_000, 48_000, 52_000]
    assert [probe(limit, size) for size in sizes] == [None] * (CLOSES_MAX - 1) + [48_000]
    assert limit.limit_bytes(1.0) == 47_999


def test_while_a_size_is_too_large_a_smaller_one_is_after_a_single_time(limit: SizeLimit) -> None:
    for _ in range(CLOSES_MAX):
        probe(limit, 50_000)
    assert probe(limit, 40_000) == 40_000
    assert limit.limit_bytes(1.0) == 39_999


def test_the_limit_is_forgotten_after_an_hour(limit: SizeLimit) -> None:
    for _ in range(CLOSES_MAX):
        probe(limit, 50_000)
    assert limit.limit_bytes(VALID_S - 1) < 50_000
    assert limit.limit_bytes(VALID_S) == UNLIMITED


def test_a_size_that_was_answered_meanwhile_is_not(limit: SizeLimit) -> None:
    probe(limit, 50_000)
    probe(limit, 50_000)
    limit.opened()
    limit.answered(50_000)
    assert limit.closed((300,), 0.0) is None
    assert probe(limit, 50_000) is None


def test_a_broker_that_answers_nothing_at_all_is_no_matter_of_size(limit: SizeLimit) -> None:
    for _ in range(2 * CLOSES_MAX):
        limit.opened()
        limit.probe_sent(50_000)
        assert limit.closed((50_000,), 0.0) is None
    assert limit.limit_bytes(0.0) == UNLIMITED


def test_small_messages_are_never_too_large(limit: SizeLimit) -> None:
    limit.opened()
    assert not limit.is_probe(SUSPECT_FROM_BYTES)
    assert limit.is_probe(SUSPECT_FROM_BYTES + 1)


def test_what_is_no_larger_than_something_answered_does_not_wait(limit: SizeLimit) -> None:
    limit.opened()
    limit.answered(10_000)
    assert not limit.is_probe(10_000)
    assert limit.is_probe(10_001)
