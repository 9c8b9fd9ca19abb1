"""The life of one worker's slot as a pure state machine: starts, jobs, deadlines, restarts.

Fed with ``now`` (monotonic seconds); no process, no thread. The pool acts on what it says.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Mapping

from agent import config
from agent.supervision.restart import Backoff, BreakerState, CircuitBreaker, RestartBudget

KILL_GRACE_S = 0.5
"""A worker is killed so long after its job's deadline."""
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.4, 30.0
"""Grace and first back-off together stay under 1 s: deadline + 1 s + start is the bar."""
FEWEST_JOBS = 10
"""A worker that has outgrown its memory before this many jobs is a failure, not wear."""


class WorkerState(enum.StrEnum):
    """What a slot is in; label of the gauge ``workers``."""

    WAITING = "waiting"  # no process: before the first start, or backing off
    STARTING = "starting"  # a process that has not said Ready
    IDLE = "idle"
    BUSY = "busy"
    BROKEN = "broken"  # no process: too many failures, until the cool-down is over


class End(enum.StrEnum):
    """Why a worker was ended; label of ``worker_restarts`` and, with a job, its failure reason."""

    START_FAILED = "start_failed"
    START_TIMEOUT = "start_timeout"
    CRASHED = "crashed"
    HUNG = "hung"  # no sign of life
    DEADLINE = "deadline"
    OUT_OF_MEMORY = "out_of_memory"
    DEVICE_ERROR = "device_error"
    MEMORY_LIMIT = "memory_limit"
    JOB_COUNT = "job_count"
    NOT_WANTED = "not_wanted"  # the cluster that it stood in for is back
    NEW_MODEL = "new_model"  # another model is live, which its successor explains


ROUTINE = frozenset({End.MEMORY_LIMIT, End.JOB_COUNT, End.NOT_WANTED, End.NEW_MODEL})
"""Ends that every long run has."""
AT_ONCE = frozenset({End.JOB_COUNT, End.NOT_WANTED, End.NEW_MODEL})
"""Ends that say nothing against the worker: its successor need not wait."""

READY = frozenset({WorkerState.IDLE, WorkerState.BUSY})
"""With a proven model."""

COMING = frozenset({WorkerState.WAITING, WorkerState.STARTING})
"""On the way to a proven model, or to being out of service."""

_ANY_PROCESS = frozenset({WorkerState.STARTING, WorkerState.IDLE, WorkerState.BUSY})

EDGES: Mapping[tuple[WorkerState, WorkerState], str] = {
    (WorkerState.WAITING, WorkerState.STARTING): "the back-off is over",
    (WorkerState.BROKEN, WorkerState.STARTING): "the cool-down is over: one trial",
    (WorkerState.STARTING, WorkerState.IDLE): "ready",
    (WorkerState.IDLE, WorkerState.BUSY): "took a job",
    (WorkerState.BUSY, WorkerState.IDLE): "answered",
    **{(alive, WorkerState.WAITING): "ended" for alive in _ANY_PROCESS},
    **{(alive, WorkerState.BROKEN): "ended, restart budget used up" for alive in _ANY_PROCESS},
}


class WorkerLife:
    """State, clocks and restart policy of one slot."""

    def __init__(self, settings: config.Workers, rng: random.Random) -> None:
        self._settings = settings
        self._backoff = Backoff(BACKOFF_FIRST_S, BACKOFF_MAX_S, rng)
        self._breaker = CircuitBreaker(
            RestartBudget(settings.restart_budget, settings.restart_window_s),
            settings.breaker_cooldown_s,
        )
        self.state = WorkerState.WAITING
        self.jobs = 0
        self._due_mono = float("-inf")
        self._started_mono = 0.0
        self._heard_mono = 0.0
        self._deadline_mono = 0.0

    @property
    def alive(self) -> bool:
        """Whether there is a process."""
        return self.state in _ANY_PROCESS

    def claim_start(self, now: float) -> bool:
        """Whether a process is to be started now; the slot counts as starting from then on."""
        due = self.state is WorkerState.WAITING and now >= self._due_mono
        trial = self.state is WorkerState.BROKEN and self._breaker.allow(now)
        if due or trial:
            self._move(WorkerState.STARTING)
            self._started_mono = now
            self.jobs = 0
        return due or trial

    def ready(self, now: float) -> None:
        """The worker takes jobs."""
        self._move(WorkerState.IDLE)
        self._heard_mono = now

    def heard(self, now: float) -> None:
        """A sign of life came."""
        self._heard_mono = now

    def excuse(self, gap_s: float) -> None:
        """The pool itself did not run for ``gap_s``: nobody is late because of that."""
        self._started_mono += gap_s
        self._heard_mono += gap_s

    def took(self, deadline_mono: float) -> None:
        """The worker was given a job."""
        self._move(WorkerState.BUSY)
        self._deadline_mono = deadline_mono

    def answered(self, rss_bytes: int, now: float) -> End | None:
        """The worker ended its job, well or not; returns why it should be recycled, or None."""
        self._move(WorkerState.IDLE)
        self._heard_mono = now
        self.jobs += 1
        # An answered job is the proof that a start alone is not: it ends a trial, and the back-off.
        self._breaker.success()
        self._backoff.reset()
        if rss_bytes > self._settings.memory_limit_mb * 1024 * 1024:
            return End.MEMORY_LIMIT
        if self.jobs >= self._settings.recycle_after_jobs:
            return End.JOB_COUNT
        return None

    def overdue(self, now: float) -> End | None:
        """What the worker has missed, if anything."""
        if self.state is WorkerState.STARTING:
            late = now - self._started_mono > self._settings.start_timeout_s
            return End.START_TIMEOUT if late else None
        if self.state is WorkerState.BUSY and now > self._deadline_mono + KILL_GRACE_S:
            return End.DEADLINE
        silent_s = now - self._heard_mono
        if self.alive and silent_s > self._settings.heartbeat_timeout_s:
            return End.HUNG
        return None

    def ended(self, end: End, now: float, *, permanent: bool = False) -> None:
        """The process is gone. ``permanent``: trying again soon is of no use."""
        outgrown = end is End.MEMORY_LIMIT and self.jobs >= FEWEST_JOBS
        worn = outgrown or end in AT_ONCE
        if worn:
            self._due_mono = now
            self._move(WorkerState.WAITING)
            return
        state = self._breaker.failure(now)
        while permanent and state is not BreakerState.OPEN:
            state = self._breaker.failure(now)
        self._due_mono = now + self._backoff.next()
        self._move(WorkerState.BROKEN if state is BreakerState.OPEN else WorkerState.WAITING)

    def _move(self, state: WorkerState) -> None:
        if (self.state, state) not in EDGES:
            raise ValueError(f"a worker never goes from {self.state} to {state}")
        self.state = state
