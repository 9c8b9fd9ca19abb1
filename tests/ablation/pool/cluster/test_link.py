"""The agent's side of a cluster, with a driver that misbehaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from agent.ablation.pool.cluster import link
from agent.ablation.pool.pool import AblationPool
from agent.records import JobFailure
from tests.ablation.pool.support import (
    START_S,
    CountingTelemetry,
    Start,
    in_cluster,
    run_job,
    selection,
    stopped_pools,
    wait_ready,
    wait_results,
)
from tests.support import wait_until


@pytest.fixture
def start(children_forked: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts pools behind one of ``drivers``."""
    with stopped_pools() as start_pool:

        def start_behind(driver: str, **settings: object) -> tuple[AblationPool, CountingTelemetry]:
            target = f"tests.ablation.pool.cluster.drivers:{driver}"
            monkeypatch.setattr(link, "DRIVER_TARGET", target)
            return start_pool(**{**in_cluster("nowhere:1"), **settings})

        yield start_behind


def test_an_answer_that_comes_after_the_end_of_its_job_is_dropped_and_counted(
    start: Start,
) -> None:
    pool, telemetry = start("late")
    result = run_job(pool, selection(deadline_s=0.2))
    assert isinstance(result, JobFailure)
    assert result.reason == "deadline"
    wait_until(lambda: telemetry.counted["cluster_results_late"] == 1, START_S)
    assert pool.results() == []
    assert telemetry.counted["worker_restarts deadline"] == 1
    assert "cluster_driver_restarts" not in " ".join(telemetry.counted)


def test_a_driver_that_is_killed_costs_the_running_jobs_and_is_replaced(start: Start) -> None:
    pool, telemetry = start("late", count=2)
    wait_ready(pool, 2)
    (driver,) = pool.local_pids()
    jobs = [selection(), selection()]
    assert all(pool.submit(job) for job in jobs)
    wait_until(lambda: pool.status().busy == 2)
    os.kill(driver, signal.SIGKILL)
    failures = wait_results(pool, 2)
    assert {one.job_id for one in failures} == {job.job_id for job in jobs}
    for failure in failures:
        assert isinstance(failure, JobFailure)
        assert failure.reason == "crashed"
        assert "the driver of the cluster is gone: killed by SIGKILL" in failure.detail
    assert telemetry.counted["cluster_driver_restarts exited"] == 1
    wait_ready(pool, 2)
    assert driver not in pool.local_pids()


def test_a_process_id_of_another_machine_is_not_one_of_this_computer(start: Start) -> None:
    pool, _ = start("late")
    wait_until(lambda: pool.pids().get("ray-0") == 4_000_000, START_S)
    assert 4_000_000 not in pool.local_pids()
    assert len(pool.local_pids()) == 1  # the driver's


def test_a_driver_that_says_nothing_is_replaced(start: Start) -> None:
    pool, telemetry = start("silent", heartbeat_timeout_s=0.5)
    wait_until(lambda: telemetry.counted["cluster_driver_restarts silent"] >= 1, START_S)
    assert "the driver of the cluster is gone: it says nothing" in pool.status().reason


def test_a_driver_that_does_not_join_is_ended(start: Start) -> None:
    pool, telemetry = start("mute", start_timeout_s=0.5)
    ended = ("cluster_driver_restarts silent", "worker_restarts start_timeout")
    wait_until(lambda: any(telemetry.counted[name] for name in ended), START_S)
    assert pool.status().ready == 0
