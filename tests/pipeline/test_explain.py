"""The loop between scheduler and pool: what is refused, ends twice, or is left at the end."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator

import pytest

from agent import config
from agent.pipeline.explain import ExplainLoop, Result
from agent.records import JobFailure, PoolStatus, Selection
from agent.sampling.scheduler import Scheduler
from tests.capture.support import Ledger
from tests.sampling.candidates import EMPTY, candidate
from tests.support import wait_until


class FakePool:
    """Takes jobs while it has slots; the test ends them."""

    def __init__(self) -> None:
        self.slots = 1
        self.taking = True
        self.jobs: list[Selection] = []
        self.ended: list[Result] = []
        self.event = os.eventfd(0, os.EFD_NONBLOCK)

    def start(self) -> None:
        pass

    def submit(self, selection: Selection) -> bool:
        if self.taking:
            self.jobs.append(selection)
        return self.taking

    def free_slots(self) -> int:
        return self.slots - len(self.jobs)

    def results(self) -> list[Result]:
        ended, self.ended = self.ended, []
        return ended

    def fileno(self) -> int:
        return self.event

    def status(self) -> PoolStatus:
        return PoolStatus(workers=1, ready=1, busy=len(self.jobs), restarts=0, breaker_open=False)

    def stop(self, timeout_s: float) -> bool:
        for job in self.jobs:
            self.fail(job, "shutdown")
        return True

    def fail(self, job: Selection, reason: str) -> None:
        self.ended.append(
            JobFailure(
                job_id=job.job_id,
                lane=job.frame.lane,
                frame_id=job.frame.frame_id,
                sampling_class=job.sampling_class,
                reason=reason,
                detail="",
            )
        )


class Rig:
    def __init__(self, **settings: object) -> None:
        self.pool = FakePool()
        self.books = Ledger()
        self.told: list[Result] = []
        scheduler = Scheduler(
            config.Sampling(duty_cycle=1.0, **settings), workers=1, now=time.monotonic()
        )
        self.loop = ExplainLoop(scheduler, self.pool, self.hear, self.books, time.monotonic)

    def hear(self, result: Result, selection: Selection) -> None:
        assert (result.job_id, result.frame_id) == (selection.job_id, selection.frame.frame_id)
        self.told.append(result)

    def offer(self, frame_id: str, **what: object) -> None:
        one = candidate("cam1", frame_id, time.monotonic(), **what)
        self.loop.offer(one.frame, one.segmentation)

    def total(self, name: str, *labels: str) -> float:
        return sum(
            value for key, value in self.books.counts.items()
            if key[0] == name and set(labels) <= set(key[1:])
        )  # fmt: skip


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(period_s=0.1, cooldown_s=0.0)
    yield rig
    rig.loop.stop(2)
    selected = rig.total("jobs_selected")
    assert selected == rig.total("jobs_completed") + rig.total("jobs_dropped")
    assert len(rig.told) == selected


def test_a_job_that_the_pool_does_not_take_is_dropped_with_its_reason(rig: Rig) -> None:
    rig.pool.taking = False
    rig.loop.start()
    rig.offer("f1")
    wait_until(lambda: rig.total("jobs_dropped", "refused") >= 1)
    (failure, *_) = rig.told
    assert isinstance(failure, JobFailure)
    assert (failure.reason, failure.frame_id) == ("refused", "f1")


def test_a_job_that_ends_twice_is_told_and_counted_once(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.loop.start()
    rig.offer("f1")
    wait_until(lambda: bool(rig.pool.jobs))
    (job,) = rig.pool.jobs
    rig.pool.fail(job, "crashed")
    rig.pool.fail(job, "deadline")
    os.eventfd_write(rig.pool.event, 1)
    wait_until(lambda: "job_ended_twice" in [record.message for record in caplog.records])
    assert rig.total("jobs_dropped") == rig.total("jobs_dropped", "crashed") == 1
    rig.pool.jobs.clear()


def test_what_waits_at_the_end_is_counted(rig: Rig) -> None:
    rig.pool.slots = 0
    rig.loop.start()
    rig.offer("f1")
    rig.loop.stop(2)
    assert rig.total("candidates_skipped", "shutdown") == 1
    assert rig.total("jobs_selected") == 0


def test_a_job_at_work_at_the_end_is_dropped_by_the_shutdown_and_has_not_failed(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agent")
    rig.loop.start()
    rig.offer("f1")
    wait_until(lambda: bool(rig.pool.jobs))
    rig.loop.stop(2)
    assert rig.total("jobs_dropped", "shutdown") == 1
    (record,) = (one for one in caplog.records if one.message.startswith("job_"))
    assert (record.message, record.levelno) == ("job_cancelled", logging.INFO)
    assert record.fields["reason"] == "the agent stops"  # type: ignore[attr-defined]
    rig.pool.jobs.clear()


def test_a_request_that_no_frame_answers_is_told_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(deadline_s=0.3, max_age_s=0.3)
    rig.loop.start()
    rig.offer("f1", **EMPTY)
    assert rig.loop.request("cam1")
    assert not rig.loop.request("cam9")
    wait_until(
        lambda: "explain_request_unanswered" in [record.message for record in caplog.records]
    )
    rig.loop.stop(2)
    assert rig.total("explain_requests_unanswered", "cam1") == 1
