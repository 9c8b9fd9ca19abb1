"""One SQLite file and how it fails: set aside when corrupt, replaced by memory when it cannot be
written or does not answer.

Write-ahead log with ``synchronous=FULL``: a commit is one append and one sync of the log, where a
rollback journal would sync three times. ``locking_mode=EXCLUSIVE`` keeps the file for this process
alone, so that a second agent on the same directory is told so at its start; the kernel takes the
lock back when the process dies, however it dies.

The file belongs to a thread of its own. A write that fails because the disk is full, read-only or
broken never reaches the caller: what the file holds is copied into memory (of a large file the
states and alarm events), the write is done there, and every ``RETRY_S`` the way back to the disk is
tried. Of a disk that hangs nothing can be read: memory begins with the numbers that must not come
twice, the file keeps what waits in it, and its thread comes back as soon as it is let go. A file
that was removed, renamed or replaced is carried over into the one that lies in its place. Nothing
is durable meanwhile, which ``status`` says. What memory holds then joins the file.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.records import StorageCause, StorageStatus
from agent.storage.file import copying
from agent.storage.file.backup import CopyError, part_of
from agent.storage.file.copy_request import CopyRequest
from agent.storage.file.disk import Disk
from agent.storage.file.executor import Executor, Mode
from agent.storage.file.health import Health
from agent.storage.file.opening import open_file
from agent.storage.jobs import Job, T, Work
from agent.storage.rows import Kind
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

HANG_S = 2.0
"""How long the disk may take for a piece of work; a busy one takes a few tenths of a second."""
OPEN_S = 30.0
"""The same until ``watch_for_hangs``: at its start a large file is read as a whole."""
CLOSE_S = 5.0
COPY_S = 300.0


class Database:
    """Runs pieces of work, each in one transaction, one at a time. ``path`` None: memory only.

    Raises ``StorageError`` when another process has the file, ``StateDirError`` when its folder can
    never serve. Any other trouble with the disk is lived with.
    """

    def __init__(self, path: Path | None, telemetry: Telemetry, clock: Clock) -> None:
        self.path = path
        self._telemetry = telemetry
        self._health = Health(path, telemetry, clock)
        self._executor = Executor(telemetry, clock, self._commit, OPEN_S)
        self._calls = 0
        self._on_lost: list[Callable[[Mapping[Kind, int]], None]] = []
        self._disk: Disk | None = None
        self._kept: bool | None = None
        self._copying = threading.Lock()
        if path is None:
            self._executor.memory = open_file(None)
        else:
            self._disk = Disk(path, self._executor, self._health, clock)
            self._disk.start(OPEN_S)

    # --- work ------------------------------------------------------------------------------------

    def run(self, work: Work[T]) -> T:
        """Do ``work`` in one transaction and return its result once it is committed.

        Work inside work joins the outer transaction. Work may be done twice (when the disk fails in
        the middle, once more in memory), so what it changes outside of the database belongs into
        ``after_commit``. It is done in another thread, and must not wait for a lock that anybody
        holds around a call of the database.
        """
        attempt = self._executor.attempt()
        if attempt is not None:
            return work(attempt.connection)
        job = Job(work)
        with self._executor.lock:
            self._calls += 1
        try:
            result = self._executor.wait(self._executor.submit(job), self._hung)
            for callback in job.after:
                callback()
        finally:
            with self._executor.lock:
                self._calls -= 1
        return result

    def rows(
        self, query: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """Return what a query finds that changes nothing."""

        def read(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            return connection.execute(query, parameters).fetchall()

        attempt = self._executor.attempt()
        if attempt is not None:
            return read(attempt.connection)
        job = Job(read, in_transaction=False)
        return self._executor.wait(self._executor.submit(job), self._hung)

    def post(self, work: Work[T], told: Callable[[Job[T]], None] = lambda _job: None) -> Job[T]:
        """Have ``work`` done in one transaction, in the order of the calls, and never wait for it.

        ``told`` is called once it is done, by whoever did it.
        """
        job = Job(work)
        job.told = lambda: told(job)
        return self._executor.submit(job)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Inside ``run``: call this, in the thread of the caller, once everything is committed, and
        not if it never is. Elsewhere: call it now."""
        attempt = self._executor.attempt()
        if attempt is None:
            callback()
        else:
            attempt.after.append(callback)

    def on_rollback(self, callback: Callable[[], None]) -> None:
        """Call this whenever what was learnt of the tables may be wrong: work was undone, or they
        are others now."""
        self._executor.rolled_back.append(callback)

    def on_join(self, work: Work[object]) -> None:
        """Do this, in one transaction, in a file that memory is about to join."""
        if self._disk is not None:
            self._disk.on_join.append(work)

    def on_lost(self, callback: Callable[[Mapping[Kind, int]], None]) -> None:
        """Call this at the end with the messages that could not be kept, by kind."""
        self._on_lost.append(callback)

    def _commit(self, connection: sqlite3.Connection) -> None:
        if self._disk is not None:
            self._disk.about_to_commit(connection)
        connection.execute("COMMIT")

    # --- state -----------------------------------------------------------------------------------

    @property
    def status(self) -> StorageStatus:
        return self._health.status

    @property
    def generation(self) -> int:
        """Rises whenever another file, or memory, has taken the place of what was open."""
        return self._health.generation

    @property
    def quiet(self) -> bool:
        """Whether no call of ``run`` is under way, its callbacks included."""
        return not self._calls

    @property
    def stands_in(self) -> bool:
        """Whether memory stands in for a file, which may hold rows that it has not."""
        return self.path is not None and self._executor.mode is Mode.MEMORY

    def size_bytes(self) -> tuple[int, int]:
        """Return the bytes of the pages that hold something, and of all pages."""
        ((pages, free, size),) = self.rows(
            "SELECT * FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
        )
        return (pages - free) * size, pages * size

    def note_loss(self, what: str) -> None:
        """Remember that something that should have been kept is gone, for whoever watches."""
        self._health.note_loss(what)

    # --- time ------------------------------------------------------------------------------------

    def watch_for_hangs(self, hang_s: float = HANG_S) -> None:
        """The start is over: from now on a disk that takes longer than this hangs."""
        self._executor.hang_s = hang_s

    def tick(self) -> None:
        """Look whether the disk hangs, and count what memory alone holds; never waits."""
        if self._executor.overdue():
            self._hung()
        self._telemetry.gauge("storage_pending", sum(self._pending().values()))

    def settle(self, timeout_s: float = 60.0) -> bool:
        """Wait until everything is done that the disk is to do now; false if it is not in time."""
        return self._disk is None or self._executor.wait_turn(timeout_s)

    def back_up(self, path: Path, timeout_s: float = COPY_S) -> int:
        """Copy the file to ``path`` while it is in use, and return its bytes; work goes on
        meanwhile, in between. Waits for it: for a thread that nobody waits for.

        ``CopyError`` where there is no file or memory stands in for it, ``path`` is there already,
        or the disk does not take it; ``OSError`` and ``sqlite3.Error`` as well.
        """
        if self._disk is None:
            raise CopyError("there is no file to copy: state_dir is not set")
        if self.stands_in:
            raise CopyError(f"memory stands in for the disk: {self.status.degraded}")
        with self._copying, part_of(path) as part:
            request = CopyRequest(part)
            self._disk.copy(request)
            request.wait(timeout_s, lambda: not self.stands_in)
        return path.stat().st_size

    def _hung(self) -> None:
        if self._disk is not None:
            why = f"no answer for {self._executor.hang_s:g} s"
            self._disk.take_over(StorageCause.DISK_HANGS, why)

    def _pending(self) -> dict[Kind, int]:
        with self._executor.lock:
            memory = self._executor.memory
            return copying.pending(memory) if memory is not None and self.stands_in else {}

    # --- the end ---------------------------------------------------------------------------------

    def close(self, timeout_s: float = CLOSE_S) -> bool:
        """Write what waits, checkpoint and close; the lock on the file is gone afterwards.

        What memory holds gets a last try to join the file. False when that did not come about
        within ``timeout_s``: what is lost is counted, and told in the log.
        """
        if self._disk is None:
            self._executor.end()
            return True
        if self._kept is None:
            ended = self._disk.close(timeout_s)
            if not ended and not self._executor.idle():
                self._hung()
            self._kept = not self.status.degraded
            if not self._kept:
                self._give_up()
        return self._kept

    def _give_up(self) -> None:
        lost = Counter(self._pending())
        if self._disk is not None:
            lost.update(self._disk.left_behind)
        self._telemetry.count("storage_losses", reason="not_kept")
        log_event(
            logger,
            logging.ERROR,
            "storage_not_kept",
            file=str(self.path),
            reason=self.status.degraded,
            messages=sum(lost.values()),
            **{kind.name.lower(): count for kind, count in lost.items()},
        )
        for callback in self._on_lost:
            callback(lost)
        self._executor.end()
