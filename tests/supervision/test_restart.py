"""Back-off, budget and breaker: pure, so every case is cheap."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from agent.supervision.restart import Backoff, BreakerState, CircuitBreaker, RestartBudget


@given(
    first_s=st.floats(0.01, 10),
    factor=st.floats(1, 1000),
    tries=st.integers(1, 200),
    seed=st.integers(),
)
def test_every_wait_is_within_its_doubling_ceiling(
    first_s: float, factor: float, tries: int, seed: int
) -> None:
    max_s = first_s * factor
    backoff = Backoff(first_s, max_s, random.Random(seed))
    for attempt in range(tries):
        assert 0 <= backoff.next() <= min(max_s, first_s * 2.0**attempt)


def test_waits_are_spread_over_the_whole_range() -> None:
    waits = []
    rng = random.Random(1)
    for _ in range(1000):
        backoff = Backoff(1.0, 8.0, rng)
        for _ in range(3):
            backoff.next()
        waits.append(backoff.next())
    assert min(waits) < 0.5
    assert max(waits) > 7.5
    assert 3.5 < sum(waits) / len(waits) < 4.5


def test_a_reset_starts_over() -> None:
    backoff = Backoff(1.0, 1000.0, random.Random(2))
    for _ in range(10):
        backoff.next()
    backoff.reset()
    assert backoff.attempts == 0
    assert backoff.next() <= 1.0


def test_weeks_of_failures_overflow_nothing() -> None:
    backoff = Backoff(0.5, 30.0, random.Random(3))
    assert all(backoff.next() <= 30.0 for _ in range(5000))


@given(
    limit=st.integers(1, 5),
    gaps=st.lists(st.floats(0, 20), max_size=60),
)
def test_no_window_ever_holds_more_restarts_than_the_limit(limit: int, gaps: list[float]) -> None:
    budget, spent, now = RestartBudget(limit, 30.0), [], 0.0
    for gap in gaps:
        now += gap
        if budget.spend(now):
            spent.append(now)
        assert budget.left(now) == limit - sum(now - when < 30.0 for when in spent)
    assert all(sum(start <= when < start + 30.0 for when in spent) <= limit for start in spent)


def test_the_breaker_opens_when_the_budget_is_used_up_and_lets_one_trial_through() -> None:
    breaker = CircuitBreaker(RestartBudget(2, 100.0), 10.0)
    assert breaker.failure(0.0) is BreakerState.CLOSED
    assert breaker.failure(1.0) is BreakerState.CLOSED
    assert breaker.allow(1.5)
    assert breaker.failure(2.0) is BreakerState.OPEN
    assert not breaker.allow(11.9)
    assert breaker.allow(12.0)
    assert breaker.state is BreakerState.HALF_OPEN
    assert not breaker.allow(12.1)


def test_a_trial_that_fails_opens_the_breaker_for_another_cooldown() -> None:
    breaker = CircuitBreaker(RestartBudget(1, 100.0), 10.0)
    breaker.failure(0.0)
    breaker.failure(1.0)
    assert breaker.allow(11.0)
    assert breaker.failure(12.0) is BreakerState.OPEN
    assert not breaker.allow(21.9)
    assert breaker.allow(22.0)


def test_a_trial_that_works_closes_the_breaker_with_a_fresh_budget() -> None:
    breaker = CircuitBreaker(RestartBudget(1, 100.0), 10.0)
    breaker.failure(0.0)
    breaker.failure(1.0)
    assert breaker.allow(11.0)
    breaker.success()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.failure(12.0) is BreakerState.CLOSED
    assert breaker.failure(13.0) is BreakerState.OPEN


def test_success_without_a_trial_does_not_refill_the_budget() -> None:
    breaker = CircuitBreaker(RestartBudget(1, 100.0), 10.0)
    breaker.failure(0.0)
    breaker.success()
    assert breaker.failure(1.0) is BreakerState.OPEN
