"""The pool with real processes that hang, stop, exit, run out of memory and are killed."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.ablation.pool.lifecycle import End
from agent.ablation.pool.pool import ENDED_PER_SLOT, AblationPool
from agent.records import Explanation, JobFailure, Selection
from tests.ablation.pool import targets as what
from tests.ablation.pool.over_ray import kinds_of_pool
from tests.ablation.pool.support import (
    START_S,
    CountingTelemetry,
    Start,
    gone,
    in_cluster,
    make_pool,
    pid_of,
    run_job,
    selection,
    stopped_pools,
    wait_ready,
    wait_results,
)
from tests.supervision.test_survivors import refuse_kills
from tests.support import free_port, wait_until
from tests.support.ray_cluster import STORE_BYTES, ray_cluster

ROOT = Path(__file__).parents[3]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "over" in metafunc.fixturenames:
        metafunc.parametrize("over", kinds_of_pool(metafunc.function.__name__), scope="module")


@pytest.fixture(scope="module")
def over_settings(over: str) -> Iterator[dict[str, object]]:
    """The settings of a pool of that kind; its cluster lives as long as the module's tests."""
    if over == "local":
        yield {}
        return
    with ray_cluster(cpus=8) as cluster:
        yield in_cluster(cluster.address)


@pytest.fixture
def start(children_forked: None, over_settings: dict[str, object]) -> Iterator[Start]:
    """Starts pools that are gone when the test is over."""
    with stopped_pools() as start_pool:
        yield lambda *args, **settings: start_pool(*args, **{**over_settings, **settings})


@pytest.fixture(scope="module")
def pair(
    children_forked: None, over_settings: dict[str, object]
) -> Iterator[tuple[AblationPool, CountingTelemetry]]:
    """Two workers that many tests share, since each of them leaves two working ones behind."""
    pool, telemetry = make_pool(**over_settings, count=2, restart_budget=1000)  # type: ignore[arg-type]
    pool.start()
    wait_ready(pool, 2)
    yield pool, telemetry
    assert pool.stop(20.0)


# --- jobs ----------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_worker_sees_the_picture_and_its_aperture(start: Start) -> None:
    pool, _ = start(threads=2)
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    image[0, 0, 0] = what.QUICK
    aperture = np.zeros((48, 64), np.bool_)
    aperture[:, :10] = True
    found = run_job(pool, selection(image=image, aperture=aperture))
    assert isinstance(found, Explanation)
    assert found.method.startswith(f"(48, 64, 3) {int(image.sum())} 480 ")


def test_before_a_worker_is_ready_no_job_is_taken(start: Start) -> None:
    pool, _ = start("never_ready")
    assert pool.free_slots() == 0
    assert not pool.submit(selection())
    assert pool.results() == []


def test_a_busy_worker_takes_no_second_job(start: Start) -> None:
    pool, _ = start()
    wait_ready(pool)
    first = selection(what.SLOW)
    assert pool.submit(first)
    assert pool.free_slots() == 0
    assert not pool.submit(selection())
    assert [r.job_id for r in wait_results(pool)] == [first.job_id]
    wait_ready(pool)


def test_the_descriptor_is_readable_while_there_are_results(start: Start) -> None:
    pool, _ = start()
    wait_ready(pool)
    assert select.select([pool.fileno()], [], [], 0)[0] == []
    pool.submit(selection())
    assert select.select([pool.fileno()], [], [], START_S)[0] == [pool.fileno()]
    assert len(pool.results()) == 1
    assert select.select([pool.fileno()], [], [], 0)[0] == []


def test_results_that_nobody_fetches_stop_the_intake_and_none_is_lost(start: Start) -> None:
    pool, _ = start()
    taken = []
    for _ in range(ENDED_PER_SLOT):
        job = selection()
        wait_until(lambda job=job: pool.submit(job), START_S)
        taken.append(job.job_id)
    # The worker is free, or will be in a moment, and nothing is taken all the same.
    assert not pool.submit(selection())
    assert [r.job_id for r in wait_results(pool, ENDED_PER_SLOT)] == taken
    run_job(pool, selection())


def test_two_workers_work_at_the_same_time(start: Start) -> None:
    pool, telemetry = start(count=2)
    wait_ready(pool, 2)
    jobs = [selection(what.SLOW), selection(what.SLOW)]
    assert all(pool.submit(job) for job in jobs)
    wait_until(lambda: pool.status().busy == 2)
    pids = {pid_of(result) for result in wait_results(pool, 2)}
    assert pids == set(pool.pids().values())
    assert len(pids) == 2
    wait_until(lambda: telemetry.gauges["workers idle"] == 2)
    for name in pool.pids():
        assert telemetry.gauges[f"worker_memory_bytes {name}"] > 1_000_000
    assert telemetry.beats > 0


# --- failures that cost a worker -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "reason", "detail"),
    [
        (what.EXIT, "crashed", "exit code 7"),
        (what.SEGFAULT, "crashed", "SIGSEGV"),
        (what.NO_MEMORY, "out_of_memory", "no room for the activations"),
        (what.CPU_MEMORY, "out_of_memory", "can't allocate"),
        (what.DEVICE, "device_error", "illegal memory access"),
        (what.HANG, "deadline", "at job"),
        (what.WRONG_JOB, "crashed", "does not have"),
    ],
)
def test_a_worker_that_fails_is_replaced_and_only_its_job_is_lost(
    pair: tuple[AblationPool, CountingTelemetry], kind: int, reason: str, detail: str
) -> None:
    pool, telemetry = pair
    wait_ready(pool, 2)
    before = set(pool.pids().values())
    restarts, counted = pool.status().restarts, telemetry.counted[f"worker_restarts {reason}"]
    bad = selection(kind, deadline_s=1.0 if kind == what.HANG else 60.0)
    good = selection(what.SLOW)
    assert pool.submit(bad)
    assert pool.submit(good)
    results = {result.job_id: result for result in wait_results(pool, 2)}
    failure = results[bad.job_id]
    assert isinstance(failure, JobFailure)
    assert failure.reason == reason
    assert detail in failure.detail
    survivor = pid_of(results[good.job_id])
    wait_ready(pool, 2)
    after = set(pool.pids().values())
    assert survivor in after
    assert len(before & after) == 1
    assert all(gone(pid) for pid in before - after)
    assert telemetry.counted[f"worker_restarts {reason}"] == counted + 1
    assert pool.status().restarts == restarts + 1
    assert isinstance(run_job(pool, selection()), Explanation)


@pytest.mark.long
@pytest.mark.parametrize("kind", [what.STOP, what.HOLD_GIL])
def test_a_worker_without_a_heartbeat_is_replaced_long_before_its_deadline(
    start: Start, kind: int
) -> None:
    pool, telemetry = start(heartbeat_timeout_s=1.5)
    result = run_job(pool, selection(kind, deadline_s=3600.0))
    assert isinstance(result, JobFailure)
    assert result.reason == "hung"
    assert isinstance(run_job(pool, selection()), Explanation)
    assert telemetry.counted["worker_restarts hung"] >= 1


@pytest.mark.long
def test_a_worker_stopped_in_its_job_ends_at_the_deadline_when_that_comes_first(
    start: Start,
) -> None:
    pool, _ = start(heartbeat_timeout_s=60.0)
    wait_ready(pool)
    result = run_job(pool, selection(what.STOP, deadline_s=1.0))
    assert isinstance(result, JobFailure)
    assert result.reason == "deadline"
    assert isinstance(run_job(pool, selection()), Explanation)


@pytest.mark.long
def test_workers_killed_in_their_jobs_are_replaced(
    pair: tuple[AblationPool, CountingTelemetry],
) -> None:
    pool, _ = pair
    wait_ready(pool, 2)
    pids = set(pool.pids().values())
    jobs = [selection(what.HANG), selection(what.HANG)]
    assert all(pool.submit(job) for job in jobs)
    wait_until(lambda: pool.status().busy == 2)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    failures = wait_results(pool, 2)
    assert {failure.job_id for failure in failures} == {job.job_id for job in jobs}
    for failure in failures:
        assert isinstance(failure, JobFailure)
        assert failure.reason == "crashed"
        assert "SIGKILL" in failure.detail
    assert pid_of(run_job(pool, selection())) not in pids


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_an_idle_worker_that_dies_or_stops_is_replaced_and_no_job_is_lost(
    start: Start, number: int
) -> None:
    pool, _ = start(heartbeat_timeout_s=1.5)
    wait_ready(pool)
    (pid,) = pool.pids().values()
    os.kill(pid, number)
    wait_until(lambda: pool.status().restarts >= 1, START_S)
    assert pid_of(run_job(pool, selection())) != pid


@pytest.mark.long
def test_a_job_taken_while_its_worker_dies_ends_once(start: Start) -> None:
    pool, _ = start(restart_budget=50)
    for _ in range(5):
        wait_ready(pool)
        (pid,) = pool.pids().values()
        os.kill(pid, signal.SIGKILL)
        job = selection()
        if pool.submit(job):
            assert [r.job_id for r in wait_results(pool)] == [job.job_id]
        wait_until(lambda pid=pid: pid not in pool.pids().values(), START_S)
    assert pool.results() == []


# --- failures that cost a job only ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "reason", "detail"),
    [
        (what.REFUSED, "error", "no such class"),
        (what.NULL_CONTROL, "null_control", "null control failed"),
        (what.DEFECT, "error", "KeyError: 'a defect'"),
    ],
)
def test_an_ordinary_error_costs_the_job_and_not_the_worker(
    pair: tuple[AblationPool, CountingTelemetry], kind: int, reason: str, detail: str
) -> None:
    pool, _ = pair
    wait_ready(pool, 2)
    before, restarts = pool.pids(), pool.status().restarts
    failure = run_job(pool, selection(kind))
    assert isinstance(failure, JobFailure)
    assert failure.reason == reason
    assert detail in failure.detail
    wait_ready(pool, 2)
    assert pool.pids() == before
    assert pool.status().restarts == restarts


def test_a_picture_that_cannot_be_handed_over_costs_the_job_and_not_the_worker(
    pair: tuple[AblationPool, CountingTelemetry],
) -> None:
    pool, _ = pair
    wait_ready(pool, 2)
    restarts = pool.status().restarts
    bad = selection(image=np.zeros((4, 4, 3), np.uint8), aperture=np.zeros((9, 9), np.bool_))
    failure = run_job(pool, bad)
    assert isinstance(failure, JobFailure)
    assert failure.reason == "picture"
    assert isinstance(run_job(pool, selection()), Explanation)
    assert pool.status().restarts == restarts


# --- recycling -----------------------------------------------------------------------------------


def test_a_worker_that_has_grown_is_recycled_after_its_job(start: Start) -> None:
    pool, telemetry = start(memory_limit_mb=160)
    pids = [pid_of(run_job(pool, selection(what.LEAK))) for _ in range(6)]
    assert len(set(pids)) > 1
    wait_until(lambda: telemetry.counted["worker_restarts memory_limit"] >= 1)
    assert pool.status().restarts == telemetry.counted["worker_restarts memory_limit"]


def test_a_worker_is_recycled_after_its_number_of_jobs(start: Start) -> None:
    pool, telemetry = start(recycle_after_jobs=2)
    pids = [pid_of(run_job(pool, selection())) for _ in range(5)]
    assert [pids.index(pid) for pid in pids] == [0, 0, 2, 2, 4]
    assert telemetry.counted["worker_restarts job_count"] == 2


# --- starts, budget, breaker ---------------------------------------------------------------------


def test_workers_that_die_at_the_start_open_the_breaker_and_are_left_alone(start: Start) -> None:
    pool, telemetry = start("dies_at_start", restart_budget=2)
    wait_until(lambda: pool.status().breaker_open, START_S)
    assert pool.status().restarts == 3
    assert "exit code 3" in pool.status().reason
    assert not pool.submit(selection())
    assert pool.pids() == {}
    wait_until(lambda: telemetry.gauges["breaker_open"] == 1)
    assert telemetry.gauges["workers broken"] == 1
    beats = telemetry.beats
    wait_until(lambda: telemetry.beats > beats + 5)
    assert pool.status().restarts == 3


def test_a_model_that_cannot_be_loaded_is_named_and_not_tried_again_and_again(
    start: Start,
) -> None:
    pool, telemetry = start("cannot_load")
    wait_until(lambda: pool.status().breaker_open, START_S)
    assert pool.status().restarts == 1
    assert "ModelError: weights.pt: no such file" in pool.status().reason
    beats = telemetry.beats
    wait_until(lambda: telemetry.beats > beats + 5)
    assert pool.status().restarts == 1


def test_after_the_cool_down_a_trial_that_works_closes_the_breaker(
    start: Start, tmp_path: Path
) -> None:
    mended = tmp_path / "mended"
    pool, _ = start("fails_until_mended", layer=str(mended), breaker_cooldown_s=0.3)
    wait_until(lambda: pool.status().breaker_open and pool.status().restarts >= 2, START_S)
    mended.touch()
    assert isinstance(run_job(pool, selection()), Explanation)
    assert not pool.status().breaker_open
    assert pool.status().reason == ""


def test_a_worker_that_does_not_become_ready_is_ended(start: Start) -> None:
    pool, telemetry = start("never_ready", start_timeout_s=0.5)
    wait_until(lambda: telemetry.counted["worker_restarts start_timeout"] >= 2, START_S)
    assert pool.status().ready == 0


def test_a_pool_without_workers_takes_no_jobs(start: Start) -> None:
    pool, _ = start(devices=None, count=0)
    assert pool.status().workers == 0
    assert not pool.status().breaker_open
    assert not pool.submit(selection())


# --- the whole -----------------------------------------------------------------------------------


def test_every_job_ends_exactly_once_whatever_happens_to_the_workers(start: Start) -> None:
    pool, telemetry = start(count=3, heartbeat_timeout_s=1.5, restart_budget=1000)
    rng = random.Random(5)
    kinds = [what.QUICK] * 8 + [what.SLOW] * 2
    kinds += [what.EXIT, what.NO_MEMORY, what.STOP, what.DEFECT, what.SEGFAULT, what.HANG]
    taken: dict[str, Selection] = {}
    ended: list[Explanation | JobFailure] = []
    for _ in range(50):
        job = selection(rng.choice(kinds), deadline_s=3.0)
        wait_until(lambda job=job: pool.submit(job) or bool(ended.extend(pool.results())), START_S)
        taken[job.job_id] = job
        if rng.random() < 0.1 and (pids := list(pool.pids().values())):
            os.kill(rng.choice(pids), signal.SIGKILL)
    wait_until(lambda: ended.extend(pool.results()) or len(ended) >= len(taken), START_S)
    assert sorted(r.job_id for r in ended) == sorted(taken)
    restarts = sum(n for name, n in telemetry.counted.items() if name.startswith("worker_restarts"))
    assert restarts == pool.status().restarts
    assert sum(isinstance(r, Explanation) for r in ended) > 5


def test_a_defect_of_the_supervisor_costs_the_running_jobs_and_not_the_pool(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, _ = start()
    wait_ready(pool)
    job = selection(what.HANG)
    pool.submit(job)
    wait_until(lambda: pool.status().busy == 1)
    report = pool._report

    def fail_once() -> None:
        monkeypatch.setattr(pool, "_report", report)
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(pool, "_report", fail_once)
    (failure,) = wait_results(pool)
    assert isinstance(failure, JobFailure)
    assert (failure.job_id, failure.reason) == (job.job_id, "crashed")
    assert isinstance(run_job(pool, selection()), Explanation)


def test_a_defect_about_one_worker_costs_the_others_nothing(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, telemetry = start(count=2)
    wait_ready(pool, 2)
    broken, other = pool._slots
    pids = pool.pids()
    turn = broken.turn

    def fail_once(now: float) -> None:
        monkeypatch.setattr(broken, "turn", turn)
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(broken, "turn", fail_once)
    wait_until(lambda: pool.pids().get(broken.name, pids[broken.name]) != pids[broken.name])
    wait_ready(pool, 2)
    assert pool.pids()[other.name] == pids[other.name]
    assert telemetry.counted["worker_restarts crashed"] == 1


def test_a_worker_whose_end_fails_is_replaced_and_ended_later(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, _ = start()
    wait_ready(pool)
    first = next(iter(pool.pids().values()))
    refuse_kills(monkeypatch, 1)
    os.kill(first, signal.SIGSTOP)  # silent from now on
    life = pool._slots[0].life
    overdue = life.overdue

    def hung(_now: float) -> End:
        monkeypatch.setattr(life, "overdue", overdue)
        return End.HUNG

    monkeypatch.setattr(life, "overdue", hung)
    wait_until(lambda: pool.pids() and first not in pool.pids().values(), START_S, "a new one")
    wait_ready(pool)
    wait_until(lambda: gone(first), START_S, "the first is dead")
    assert isinstance(run_job(pool, selection()), Explanation)


# --- in a cluster --------------------------------------------------------------------------------


def test_a_picture_larger_than_the_object_store_costs_the_job_and_not_the_worker(
    pair: tuple[AblationPool, CountingTelemetry],
) -> None:
    pool, _ = pair
    wait_ready(pool, 2)
    pids = pool.pids()
    large = np.zeros((5000, 6000, 3), np.uint8)
    assert large.nbytes > STORE_BYTES
    failure = run_job(pool, selection(image=large))
    assert isinstance(failure, JobFailure)
    assert failure.reason == "picture"
    assert "does not fit the object store of" in failure.detail
    assert isinstance(run_job(pool, selection()), Explanation)
    assert pool.pids() == pids


@pytest.fixture
def away(children_forked: None) -> Iterator[Start]:
    """Starts pools whose cluster is not there."""
    with stopped_pools() as start_pool:

        def start_away(local_workers: int) -> tuple[AblationPool, CountingTelemetry]:
            nowhere = f"127.0.0.1:{free_port()}"
            ray = in_cluster(nowhere, local_workers=local_workers, away_after_s=0.2)
            return start_pool(**ray, restart_budget=1)

        yield start_away


def test_while_the_cluster_is_away_explanations_are_off_and_the_reason_is_said(
    away: Start,
) -> None:
    pool, telemetry = away(0)
    wait_until(lambda: pool.status().breaker_open, START_S)
    assert "Unreachable: 127.0.0.1:" in pool.status().reason
    assert "Connection refused" in pool.status().reason
    assert not pool.submit(selection())
    assert telemetry.gauges["cluster_connected"] == 0
    assert telemetry.counted["cluster_driver_restarts Unreachable"] == 2
    assert telemetry.counted["worker_restarts start_failed"] == 2


def test_while_the_cluster_is_away_local_workers_stand_in(away: Start) -> None:
    pool, telemetry = away(1)
    result = run_job(pool, selection())
    assert pid_of(result) in pool.local_pids()
    assert telemetry.gauges["workers_stand_in"] == 1
    wait_until(lambda: "Connection refused" in pool.status().reason, START_S)
    assert not pool.status().breaker_open
    assert (pool.status().workers, pool.status().ready) == (1, 1)


def test_submit_does_not_wait_for_workers_that_do_not_move(start: Start) -> None:
    pool, _ = start(count=2, heartbeat_timeout_s=60.0)
    wait_ready(pool, 2)
    for pid in pool.pids().values():
        os.kill(pid, signal.SIGSTOP)
    image = np.zeros((2000, 2000, 3), np.uint8)
    before = time.monotonic()
    taken = [pool.submit(selection(image=image)) for _ in range(4)]
    assert time.monotonic() - before < 1.0
    assert taken == [True, True, False, False]
    wait_until(lambda: pool.status().busy == 2)


def test_stop_ends_running_jobs_as_failures_and_leaves_no_process(start: Start) -> None:
    pool, telemetry = start(count=2)
    wait_ready(pool, 2)
    pids = list(pool.pids().values())
    jobs = [selection(what.HANG), selection(what.STOP)]
    assert all(pool.submit(job) for job in jobs)
    wait_until(lambda: pool.status().busy == 2)
    assert pool.stop(20.0)
    results = {result.job_id: result for result in pool.results()}
    assert set(results) == {job.job_id for job in jobs}
    assert {r.reason for r in results.values() if isinstance(r, JobFailure)} == {"shutdown"}
    assert all(gone(pid) for pid in pids)
    assert not pool.submit(selection())
    assert pool.free_slots() == 0
    assert telemetry.gauges["workers busy"] == 0
    assert pool.stop(1.0)  # again: nothing happens


def test_a_pool_that_was_never_started_can_be_stopped() -> None:
    pool, _ = make_pool()
    assert not pool.submit(selection())
    assert pool.stop(1.0)


def test_kill_nine_of_the_parent_leaves_no_worker() -> None:
    """One worker idle, one hung in a job, one stopped: all of them go with their parent."""
    script = """
import os, signal, time
from tests.ablation.pool import targets as what
from tests.ablation.pool.support import make_pool, selection, wait_ready
from tests.support import free_port, wait_until
pool, _ = make_pool(count=3, heartbeat_timeout_s=60.0)
pool.start()
wait_ready(pool, 3)
pool.submit(selection(what.HANG))
pool.submit(selection(what.STOP))
wait_until(lambda: pool.status().busy == 2)
print(*pool.pids().values(), flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 3
        assert not any(gone(pid) for pid in pids)
        parent.kill()
    wait_until(lambda: all(gone(pid) for pid in pids), 10.0, "workers gone with their parent")
