"""Who does a piece of work: the thread of the disk, one after the other, or its caller in memory.

A caller waits for the disk no longer than ``hang_s``. Then memory takes over: what the disk did not
finish and everything that waits behind it is done in memory, in the same order, and whatever the
hung thread still brings about counts for nothing (its ``epoch`` is over). So no caller ever waits
for a disk that hangs but the one that finds it out.
"""

from __future__ import annotations

import contextlib
import enum
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from agent.storage.jobs import AbandonedError, Attempt, Job, T
from agent.telemetry import Clock, Telemetry


class Mode(enum.Enum):
    """Where work is done. ``JOINING``: what memory holds is being written into the file; work waits
    meanwhile, as for any other piece of it."""

    DISK = "disk"
    JOINING = "joining"
    MEMORY = "memory"


class Executor:
    """The queue between callers and the thread of the disk. ``memory`` is open while it is used.

    ``lock`` is never held while the disk is waited for, and work never waits for another lock that
    is held around a call of this class.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        clock: Clock,
        commit: Callable[[sqlite3.Connection], None],
        hang_s: float,
    ) -> None:
        self.lock = threading.RLock()
        self.mode = Mode.MEMORY
        self.epoch = 0
        self.memory: sqlite3.Connection | None = None
        self.hang_s = hang_s
        self.rolled_back: list[Callable[[], None]] = []
        """Called whenever what was learnt of the tables may be wrong."""
        self.committed: Callable[[], None] = lambda: None
        """Called by the thread of the disk when a job of this epoch is on the disk."""
        self._telemetry = telemetry
        self._clock = clock
        self._commit = commit
        self._changed = threading.Condition(self.lock)
        self._queue: deque[Job[Any]] = deque()
        self._busy_since: float | None = None
        self._job: Job[Any] | None = None
        self._asked = self._turned = 0
        self._here = threading.local()

    # --- for callers -----------------------------------------------------------------------------

    def attempt(self) -> Attempt | None:
        """Return the attempt that this thread is in the middle of."""
        found: Attempt | None = getattr(self._here, "attempt", None)
        if found is not None and found.epoch != self.epoch:
            raise AbandonedError
        return found

    def submit(self, job: Job[T]) -> Job[T]:
        """Have a job done, in memory at once. Its error, if any, is in its result."""
        with self.lock:
            if self.mode is not Mode.MEMORY:
                self._queue.append(job)
                self._changed.notify_all()
                return job
            self._do_in_memory(job)
        job.told()
        return job

    def wait(self, job: Job[T], hung: Callable[[], None]) -> T:
        """Return its result; ``hung`` is called when the disk is overdue, and must end that."""
        while not job.done.wait(self._patience_s()):
            if self.overdue():
                hung()
        return job.result()

    def overdue(self) -> bool:
        """Whether the thread of the disk has been at one thing for too long."""
        with self.lock:
            since = self._busy_since
            waited_for = self.mode is not Mode.MEMORY
            return waited_for and since is not None and time.monotonic() - since >= self.hang_s

    def _patience_s(self) -> float:
        with self.lock:
            since = self._busy_since
            left_s = self.hang_s if since is None else since + self.hang_s - time.monotonic()
            return max(0.001, left_s)

    def wait_turn(self, timeout_s: float) -> bool:
        """Let the thread of the disk do everything that is due; false when it does not in time."""
        with self.lock:
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._turned >= mine, timeout_s)

    def poke(self) -> None:
        """Let the thread of the disk look around now."""
        with self.lock:
            self._changed.notify_all()

    # --- from one to the other -------------------------------------------------------------------

    def to_memory(
        self,
        make: Callable[[], sqlite3.Connection],
        first: Job[Any] | None = None,
        epoch: int | None = None,
    ) -> bool:
        """Let memory take over, and do there what waits, ``first`` before it.

        False, and nothing is done, where it has taken over already or ``epoch`` is over.
        """
        with self.lock:
            over = epoch is not None and epoch != self.epoch
            if over or (self.mode is Mode.MEMORY and self.memory is not None):
                return False
            self.epoch += 1
            first = first or self._job
            self._job = None
            if self.mode is not Mode.JOINING or self.memory is None:
                self.memory = make()
            self.mode = Mode.MEMORY
            self._forget()
            jobs = [*([first] if first is not None else []), *self._queue]
            self._queue.clear()
            for job in jobs:
                self._do_in_memory(job)
        for job in jobs:
            job.told()
        return True

    def to_disk(self, epoch: int) -> bool:
        """Let the thread of the disk do everything from now on; false where ``epoch`` is over."""
        with self.lock:
            if epoch != self.epoch:
                return False
            memory, self.memory = self.memory, None
            if memory is not None:
                memory.close()
            self.mode = Mode.DISK
            self._forget()
            return True

    def _do_in_memory(self, job: Job[Any]) -> None:
        if self.memory is None:
            job.fail(sqlite3.ProgrammingError("the database is closed"))
            return
        try:
            job.succeed(*self._try(self.memory, job, self.epoch))
        except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
            job.fail(error)

    # --- for the thread of the disk --------------------------------------------------------------

    def next(self, longest_s: float) -> tuple[Job[Any] | None, int]:
        """Return the next job, or None after a while, with the epoch that it belongs to."""
        with self.lock:
            self._busy_since, self._job = None, None
            if not self._queue and self._asked == self._turned:
                self._changed.wait(longest_s)
            job = self._queue.popleft() if self._queue and self.mode is Mode.DISK else None
            self._job = job
            self._busy_since = time.monotonic()
            return job, self.epoch

    def turned(self) -> None:
        """Everything that was due is done: whoever waits for the turn may go on."""
        with self.lock:
            if not self._queue:
                self._turned = self._asked
                self._changed.notify_all()

    def begin_joining(self) -> int:
        """What comes from now on waits until memory has joined the file; return the epoch."""
        with self.lock:
            self.mode = Mode.JOINING
            self._busy_since = time.monotonic()
            return self.epoch

    def idle(self) -> bool:
        """Whether everything that was submitted is done, and on the disk."""
        with self.lock:
            return self.mode is Mode.DISK and not self._queue and self._job is None

    def end(self) -> None:
        """Nothing is done any more."""
        with self.lock:
            self.mode = Mode.MEMORY
            if self.memory is not None:
                self.memory.close()
            self.memory = None
            self._turned = self._asked
            self._changed.notify_all()
            while self._queue:
                self._do_in_memory(self._queue.popleft())

    def do(self, connection: sqlite3.Connection, job: Job[Any], epoch: int) -> None:
        """Do a job on the disk. ``sqlite3.Error`` where that fails, ``AbandonedError``; any other
        error is the job's own."""
        try:
            result, after = self._try(connection, job, epoch)
        except (sqlite3.Error, AbandonedError):
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self.settle(job, epoch, error)
            return
        with self.lock:
            if epoch != self.epoch:
                raise AbandonedError
            self.committed()
            job.succeed(result, after)
            self._job = None
        job.told()

    def settle(self, job: Job[Any], epoch: int, error: Exception) -> None:
        """It was a defect of the caller."""
        with self.lock:
            if epoch != self.epoch:
                return
            job.fail(error)
            self._job = None
        job.told()

    # --- one try ---------------------------------------------------------------------------------

    def _try(
        self, connection: sqlite3.Connection, job: Job[T], epoch: int
    ) -> tuple[T, list[Callable[[], None]]]:
        if not job.in_transaction:
            return job.work(connection), []
        attempt = self._here.attempt = Attempt(connection, epoch)
        started = self._clock()
        try:
            connection.execute("BEGIN IMMEDIATE")
            result = job.work(connection)
            self.attempt()  # abandoned meanwhile?
            self._commit(connection)
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self._forget()
            raise
        finally:
            self._here.attempt = None
        self._telemetry.observe("storage_commit_seconds", max(0.0, self._clock() - started))
        return result, attempt.after

    def _forget(self) -> None:
        for callback in self.rolled_back:
            callback()
