from __future__ import annotations

import random

import pytest

from agent import config
from agent.ablation.pool.lifecycle import (
    BACKOFF_FIRST_S,
    FEWEST_JOBS,
    KILL_GRACE_S,
    End,
    WorkerLife,
    WorkerState,
)

SETTINGS = config.Workers(
    heartbeat_s=1.0,
    heartbeat_timeout_s=5.0,
    start_timeout_s=60.0,
    restart_budget=3,
    restart_window_s=300.0,
    breaker_cooldown_s=60.0,
    memory_limit_mb=1024,
    recycle_after_jobs=1000,
)
MIB = 1024 * 1024


def ready_life(now: float = 0.0) -> WorkerLife:
    life = WorkerLife(SETTINGS, random.Random(1))
    assert life.claim_start(now)
    life.ready(now)
    return life


def test_a_start_is_claimed_once() -> None:
    life = WorkerLife(SETTINGS, random.Random(1))
    assert life.claim_start(0.0)
    assert not life.claim_start(100.0)
    assert life.state is WorkerState.STARTING


def test_a_start_that_takes_too_long_is_overdue() -> None:
    life = WorkerLife(SETTINGS, random.Random(1))
    life.claim_start(0.0)
    assert life.overdue(60.0) is None
    assert life.overdue(60.1) is End.START_TIMEOUT


def test_silence_is_a_hang_in_a_job_and_without_one() -> None:
    life = ready_life()
    assert life.overdue(5.0) is None
    assert life.overdue(5.1) is End.HUNG
    life.heard(5.0)
    life.took(deadline_mono=100.0)
    assert life.overdue(10.0) is None
    assert life.overdue(10.1) is End.HUNG


def test_a_beating_worker_is_held_to_its_jobs_deadline_and_a_grace() -> None:
    life = ready_life()
    life.took(deadline_mono=10.0)
    life.heard(10.0)
    assert life.overdue(10.0 + KILL_GRACE_S) is None
    assert life.overdue(10.1 + KILL_GRACE_S) is End.DEADLINE


def test_a_gap_of_the_pool_itself_makes_nobody_late() -> None:
    life = ready_life()
    life.excuse(30.0)
    assert life.overdue(34.0) is None
    assert life.overdue(36.0) is End.HUNG


def test_the_first_replacement_waits_less_than_half_a_second() -> None:
    for seed in range(20):
        life = WorkerLife(SETTINGS, random.Random(seed))
        life.claim_start(0.0)
        life.ready(0.0)
        life.ended(End.CRASHED, 1.0)
        assert life.state is WorkerState.WAITING
        assert life.claim_start(1.0 + BACKOFF_FIRST_S)


def test_failures_beyond_the_budget_open_the_breaker_until_a_trial_job_succeeds() -> None:
    life = ready_life()
    now = 0.0
    for _ in range(3):
        life.ended(End.CRASHED, now)
        now += 31.0
        assert life.claim_start(now)
        life.ready(now)
    life.ended(End.CRASHED, now)
    assert life.state is WorkerState.BROKEN
    assert not life.claim_start(now + 59.9)
    assert life.claim_start(now + 60.0)
    life.ready(now + 61.0)
    life.ended(End.CRASHED, now + 62.0)  # ready is no success: the trial failed
    assert life.state is WorkerState.BROKEN
    assert life.claim_start(now + 122.0)
    life.ready(now + 123.0)
    life.took(now + 130.0)
    assert life.answered(100 * MIB, now + 124.0) is None
    life.ended(End.CRASHED, now + 125.0)  # the budget is whole again
    assert life.state is WorkerState.WAITING


def test_old_failures_leave_the_budget() -> None:
    life = ready_life()
    for number in range(20):
        now = number * 150.0
        life.ended(End.CRASHED, now)
        assert life.state is WorkerState.WAITING
        assert life.claim_start(now + 100.0)
        life.ready(now + 100.0)


def test_a_permanent_failure_opens_the_breaker_at_once() -> None:
    life = WorkerLife(SETTINGS, random.Random(1))
    life.claim_start(0.0)
    life.ended(End.START_FAILED, 0.0, permanent=True)
    assert life.state is WorkerState.BROKEN
    assert not life.claim_start(59.0)
    assert life.claim_start(60.0)


def run_jobs(life: WorkerLife, count: int, rss_bytes: int) -> End | None:
    worn = None
    for _ in range(count):
        life.took(1e9)
        worn = life.answered(rss_bytes, 0.0)
    return worn


def test_a_grown_worker_is_recycled_after_its_job_without_counting_as_a_failure() -> None:
    life = ready_life()
    for _ in range(20):
        assert run_jobs(life, FEWEST_JOBS - 1, 100 * MIB) is None
        assert run_jobs(life, 1, 2000 * MIB) is End.MEMORY_LIMIT
        life.ended(End.MEMORY_LIMIT, 0.0)
        assert life.claim_start(0.0)  # at once
        life.ready(0.0)


def test_a_worker_that_outgrows_its_memory_again_and_again_is_a_failure() -> None:
    life = ready_life()
    for _ in range(3):
        assert run_jobs(life, 1, 2000 * MIB) is End.MEMORY_LIMIT
        life.ended(End.MEMORY_LIMIT, 0.0)
        assert life.state is WorkerState.WAITING
        assert life.claim_start(31.0)
        life.ready(31.0)
    run_jobs(life, 1, 2000 * MIB)
    life.ended(End.MEMORY_LIMIT, 0.0)
    assert life.state is WorkerState.BROKEN


def test_a_worker_is_recycled_after_its_number_of_jobs() -> None:
    life = ready_life()
    assert run_jobs(life, 999, MIB) is None
    assert run_jobs(life, 1, MIB) is End.JOB_COUNT


def test_an_edge_that_is_not_in_the_table_is_refused() -> None:
    life = ready_life()
    with pytest.raises(ValueError, match="never goes"):
        life.ready(0.0)
