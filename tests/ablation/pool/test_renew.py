"""Another model becomes live: workers are replaced one after the other, without losing a job."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent import config
from agent.ablation.pool.messages import WorkerSpec
from agent.records import Explanation
from tests.ablation.pool import targets as what
from tests.ablation.pool.support import (
    START_S,
    TARGETS,
    Start,
    run_job,
    selection,
    stopped_pools,
    wait_ready,
    wait_results,
)
from tests.support import wait_until

TARGET = "names_its_model"


@pytest.fixture
def start(children_forked: None) -> Iterator[Start]:
    with stopped_pools() as start_pool:
        yield start_pool


def spec_of(model: str) -> WorkerSpec:
    return WorkerSpec(model=config.Model(layer=model), target=f"{TARGETS}:{TARGET}")


def model_of(result: object) -> str:
    assert isinstance(result, Explanation), result
    return result.model_sha256


def test_every_worker_is_replaced_and_explains_the_new_model(start: Start) -> None:
    pool, telemetry = start(TARGET, "old", count=2)
    wait_ready(pool, 2)
    before = pool.pids()
    assert model_of(run_job(pool, selection())) == "old"
    pool.renew(spec_of("new"))
    wait_until(pool.renewed, START_S, "renewed workers")
    wait_ready(pool, 2)
    assert set(pool.pids().values()).isdisjoint(before.values())
    assert telemetry.counted["worker_restarts new_model"] == 2
    jobs = [selection(), selection()]
    assert all(pool.submit(job) for job in jobs)
    assert {model_of(one) for one in wait_results(pool, 2)} == {"new"}
    assert pool.status().reason == ""


def test_one_is_replaced_when_the_one_before_is_ready(start: Start) -> None:
    pool, _ = start(TARGET, "old", count=3)
    wait_ready(pool, 3)
    fewest = []
    pool.renew(spec_of("new"))

    def done() -> bool:
        fewest.append(pool.status().ready)
        return pool.renewed()

    wait_until(done, START_S, "renewed workers", every_s=0.01)
    assert min(fewest) >= 2


def test_a_job_that_is_being_done_ends_first_and_says_which_model_it_is_of(start: Start) -> None:
    pool, _ = start(TARGET, "old")
    wait_ready(pool)
    job = selection(what.SLOW)
    assert pool.submit(job)
    wait_until(lambda: pool.status().busy == 1, START_S, "a busy worker")
    pool.renew(spec_of("new"))
    (late,) = wait_results(pool)
    assert (late.job_id, model_of(late)) == (job.job_id, "old")
    wait_until(pool.renewed, START_S, "a renewed worker")
    assert model_of(run_job(pool, selection())) == "new"


def test_a_model_that_is_taken_back_while_workers_start_is_not_explained(start: Start) -> None:
    pool, _ = start(TARGET, "old", count=2)
    wait_ready(pool, 2)
    pool.renew(spec_of("new"))
    pool.renew(spec_of("back"))
    wait_until(pool.renewed, START_S, "renewed workers")
    assert model_of(run_job(pool, selection())) == "back"


def test_a_model_that_no_worker_can_load_is_told_and_one_that_they_can_comes_back(
    start: Start,
) -> None:
    pool, _ = start(TARGET, "old", restart_budget=1, breaker_cooldown_s=0.1)
    wait_ready(pool)
    pool.renew(spec_of("broken"))
    wait_until(lambda: "broken" in pool.status().reason, START_S, "the reason")
    pool.renew(spec_of("old"))
    assert model_of(run_job(pool, selection())) == "old"
