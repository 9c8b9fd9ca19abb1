"""One slot of the pool: its process, its job, and what is done about them.

All of it runs in the pool's supervisor thread. What a worker may miss is decided in ``lifecycle``;
here it is carried out: started, given jobs, listened to, ended, counted, logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from agent import config
from agent.ablation.pool.lifecycle import ROUTINE, End, WorkerLife, WorkerState
from agent.ablation.pool.messages import (
    Beat,
    Done,
    Failed,
    Ready,
    StartFailed,
    WorkerSpec,
)
from agent.ablation.pool.placement import Placement
from agent.ablation.pool.shared_image import SharedImageError
from agent.records import Explanation, JobFailure, Selection
from agent.supervision.child import ChildBusy, ChildGone
from agent.supervision.live_priority import LivePriority
from agent.supervision.survivors import Survivors
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

Result = Explanation | JobFailure


@dataclass(slots=True)
class WorkerContext:
    """What all slots share. ``end`` takes the one result of each job; ``live`` goes first.

    ``spec`` alone changes: what the next workers are started with.
    """

    spec: WorkerSpec
    settings: config.Workers
    telemetry: Telemetry
    clock: Clock
    end: Callable[[Result], None]
    live: LivePriority
    survivors: Survivors = field(default_factory=Survivors)


class Worker(Protocol):
    """What works for a slot: a process of this computer, or one that a cluster runs."""

    @property
    def pid(self) -> int:
        """Its process id, on the machine that it runs on; 0 while it is not known."""

    def fileno(self) -> int:
        """Descriptor that is readable when ``receive`` has something; -1: none."""

    def receive(self) -> list[object]:
        """What it has said, in order, without waiting. ``ChildGone`` after the last of it."""

    def give(self, selection: Selection) -> None:
        """Hand a job over. ``SharedImageError``: the picture; ``ChildGone``, ``ChildBusy``."""

    def end(self, survivors: Survivors) -> str:
        """Kill it; returns how it ended, in a few words."""


Launch = Callable[[Placement], Worker]
"""Starts a worker; ``OSError`` or ``ChildGone`` when there is none to be had."""


class WorkerSlot:
    """A slot with at most one process, which has at most one job."""

    def __init__(
        self, placement: Placement, life: WorkerLife, context: WorkerContext, launch: Launch
    ) -> None:
        self.placement = placement
        self.life = life
        self._context = context
        self._launch = launch
        self.process: Worker | None = None
        self.trouble = ""
        """Why the last process ended; empty once another one is ready."""
        self.restarts = 0
        self.wanted = True
        """Whether it is to have a process; one at a job ends it first."""
        self._job: Selection | None = None
        self._phase = ""
        self._spec = context.spec  # of the newest process

    @property
    def outdated(self) -> bool:
        """Whether its process was started with another spec than the next one would be."""
        return self.process is not None and self._spec is not self._context.spec

    @property
    def name(self) -> str:
        """For logs and metrics."""
        return self.placement.name

    @property
    def state(self) -> WorkerState:
        return self.life.state

    def turn(self, now: float) -> None:
        """Listen, judge, start: whatever is due."""
        # First what the worker says, then what it has missed: an answer in the socket counts.
        if self.process is not None:
            self._listen(self.process, now)
        if (missed := self.life.overdue(now)) is not None:
            self.lose(missed, f"at {self._phase}" if self._phase else "")
        if not self.wanted and self.state in (WorkerState.STARTING, WorkerState.IDLE):
            self.lose(End.NOT_WANTED, "the cluster is back")
            self.trouble = ""
        if self.wanted and self.life.claim_start(now):
            self._start()

    def give(self, selection: Selection) -> bool:
        """Hand a job over; False when the worker is gone and the job may go to another."""
        assert self.process is not None
        try:
            self.process.give(selection)
        except SharedImageError as error:
            self._context.end(failure(selection, "picture", str(error)))
            return True
        except (ChildGone, ChildBusy) as error:
            self.lose(End.CRASHED, str(error))
            return False
        self._job = selection
        self._phase = "job"
        self.life.took(selection.selected_mono + selection.deadline_s)
        return True

    def lose(self, end: End, detail: str, *, permanent: bool = False) -> None:
        """End the process and its job; the slot's life decides what comes next."""
        if not self.life.alive:
            return
        detail = detail or self._kill()
        self._kill()
        self._end_job(end.value, detail)
        self.life.ended(end, self._context.clock(), permanent=permanent)
        self.trouble = f"{end.value}: {detail}" if detail else end.value
        self.restarts += 1
        self._context.telemetry.count("worker_restarts", reason=end.value)
        log_event(
            logger,
            logging.INFO if end in ROUTINE else logging.WARNING,
            "worker_ended",
            slot=self.name,
            reason=end.value,
            detail=detail,
            state=self.state.value,
        )

    def renew(self) -> None:
        """End a process that has no job, for one of the spec that holds now."""
        self.lose(End.NEW_MODEL, "another model is live")
        self.trouble = ""

    def close(self, reason: str) -> None:
        """The pool ends: no process, no job, no successor."""
        self._kill()
        self._end_job(reason, "")

    def _start(self) -> None:
        try:
            self._context.survivors.check_room()
            self._spec = self._context.spec
            self.process = self._launch(self.placement)
        except (OSError, ChildGone) as error:
            self.lose(End.START_FAILED, str(error))
            return
        self._phase = "start"
        log_event(logger, logging.INFO, "worker_started", slot=self.name, pid=self.process.pid)

    def _listen(self, process: Worker, now: float) -> None:
        try:
            messages = process.receive()
        except ChildGone:
            self.lose(End.CRASHED, "")
            return
        for message in messages:
            self._hear(message, now)
            if self.process is None:
                return  # what it said after its end was decided counts no more

    def _hear(self, message: object, now: float) -> None:
        if isinstance(message, Beat):
            self.life.heard(now)
            self._phase = message.phase
            self._weigh(message.rss_bytes)
        elif isinstance(message, Ready):
            self.life.ready(now)
            self._phase = self.trouble = ""
            self._weigh(message.rss_bytes)
            log_event(
                logger,
                logging.INFO,
                "worker_ready",
                slot=self.name,
                seconds=round(message.seconds, 2),
                detail=message.detail,
            )
        elif isinstance(message, StartFailed):
            detail = f"{message.reason}: {message.detail}"
            self.lose(End.START_FAILED, detail, permanent=message.permanent)
        elif isinstance(message, Done | Failed):
            self._answered(message, now)

    def _answered(self, message: Done | Failed, now: float) -> None:
        job = self._job
        answer = message.explanation if isinstance(message, Done) else message
        if job is None or job.job_id != answer.job_id:
            self.lose(End.CRASHED, f"answered a job that it does not have: {answer.job_id}")
            return
        self._job = None
        self._phase = ""
        self._weigh(message.rss_bytes)
        if isinstance(message, Done):
            self._context.end(message.explanation)
        else:
            self._context.end(failure(job, message.reason, message.detail))
            if message.fatal:
                self.lose(_end_of(message.reason), message.detail)
                return
        worn = self.life.answered(message.rss_bytes, now)
        if worn is not None:
            self.lose(worn, f"{message.rss_bytes >> 20} MiB after {self.life.jobs} jobs")

    def _kill(self) -> str:
        if self.process is None:
            return ""
        process, self.process = self.process, None
        self._weigh(0)
        return process.end(self._context.survivors)

    def _end_job(self, reason: str, detail: str) -> None:
        if self._job is not None:
            job, self._job = self._job, None
            self._context.end(failure(job, reason, detail))

    def _weigh(self, rss_bytes: int) -> None:
        self._context.telemetry.gauge("worker_memory_bytes", rss_bytes, slot=self.name)


def failure(selection: Selection, reason: str, detail: str = "") -> JobFailure:
    """The record of a job that gave no explanation."""
    return JobFailure(
        job_id=selection.job_id,
        lane=selection.frame.lane,
        frame_id=selection.frame.frame_id,
        sampling_class=selection.sampling_class,
        reason=reason,
        detail=detail,
    )


def _end_of(reason: str) -> End:
    return End(reason) if reason in {end.value for end in End} else End.CRASHED
