"""The token bucket that budgets, paces and rate limits are made of."""

from __future__ import annotations

import pytest

from agent.token_bucket import TokenBucket


def test_a_bucket_is_full_at_first_and_fills_at_its_rate() -> None:
    bucket = TokenBucket(2.0, 4.0, now=10.0)
    assert bucket.level(10.0) == 4.0
    bucket.spend(3.0, 10.0)
    assert bucket.level(10.5) == 2.0
    assert bucket.level(99.0) == 4.0


def test_the_wait_is_until_the_tokens_are_there() -> None:
    bucket = TokenBucket(2.0, 4.0, now=0.0)
    bucket.spend(4.0, 0.0)
    assert bucket.wait_s(1.0, 0.0) == pytest.approx(0.5)
    assert bucket.wait_s(1.0, 0.5) == 0.0


def test_an_overdrawn_bucket_fills_from_where_it_is() -> None:
    bucket = TokenBucket(1.0, 2.0, now=0.0)
    bucket.spend(5.0, 0.0)
    assert bucket.level(1.0) == -2.0
    assert bucket.wait_s(1.0, 0.0) == pytest.approx(4.0)


def test_what_is_given_back_never_overfills() -> None:
    bucket = TokenBucket(1.0, 2.0, now=0.0)
    bucket.spend(-9.0, 0.0)
    assert bucket.level(0.0) == 2.0


def test_a_clock_that_steps_back_adds_nothing() -> None:
    bucket = TokenBucket(1.0, 2.0, now=10.0)
    bucket.spend(2.0, 10.0)
    bucket.spend(0.0, 5.0)
    assert bucket.level(10.0) == 0.0
    assert bucket.level(11.0) == 1.0


def test_a_burst_passes_and_then_one_at_a_time() -> None:
    bucket = TokenBucket(2.0, 2.0, now=10.0)
    assert [bucket.take(10.0) for _ in range(3)] == [True, True, False]
    assert bucket.wait_s(1.0, 10.0) == pytest.approx(0.5)
    assert bucket.take(10.5)
    assert not bucket.take(9.0)  # a clock that steps back opens nothing
    assert bucket.wait_s(1.0, 9.0) == pytest.approx(0.5)
