"""The thread that the file belongs to: it alone waits for the disk.

It does the work that waits, looks whether the file still lies in its place, and leads back from
memory to the disk: the file is opened anew, what memory holds joins it in pieces, and the last
piece while work waits.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sqlite3
import threading
from pathlib import Path
from typing import Any

from agent.records import StorageCause
from agent.storage.errors import StorageError
from agent.storage.file import copying, opening
from agent.storage.file.copy_request import CopyRequest
from agent.storage.file.executor import Executor, Mode
from agent.storage.file.health import Health
from agent.storage.file.transaction import transaction
from agent.storage.jobs import AbandonedError, Job, Work
from agent.storage.rows import Kind
from agent.telemetry import Clock, log_event

logger = logging.getLogger(__name__)

RETRY_S = 30.0
WATCH_S = 1.0
"""How often it is looked whether the file still lies in its place."""
MEMORY_MAX_BYTES = 64 * 1024 * 1024
"""What is kept in memory when the disk fails; of a larger file the states and alarm events."""
UNREAD_MAX = 3
"""Tries to read a file that has lost its place, before it is given up."""
REPLACED = "the state folder was removed or replaced"


class Disk:
    """The file at ``path`` and its thread. ``start`` opens it.

    ``on_join``: work for a file that memory is about to join.
    """

    def __init__(self, path: Path, executor: Executor, health: Health, clock: Clock) -> None:
        self._path = path
        self._executor = executor
        self._health = health
        self._clock = clock
        self.on_join: list[Work[object]] = []
        self.left_behind: dict[Kind, int] = {}
        """At the end: what waited in a file that has lost its place, and could not be kept."""
        self._file: sqlite3.Connection | None = None
        self._left: list[sqlite3.Connection] = []  # files that have lost their place
        self._place: opening.Place | None = None
        self._mark: opening.Mark | None = None
        self._next_seeds: copying.Seeds | None = None
        self._seeds: copying.Seeds | None = None
        self._unread = 0  # tries at the first of ``_left``
        self._retry_at = -math.inf
        self._said = ""  # why memory could not be left, when it was last said aloud
        self._closing = threading.Event()
        self._wanted: CopyRequest | None = None
        self._opened: Job[None] = Job(lambda _: None)
        self._thread = threading.Thread(target=self._run, name="storage", daemon=True)
        executor.committed = self._committed

    # --- for other threads -----------------------------------------------------------------------

    def start(self, longest_s: float) -> None:
        """Open the file; in memory where that fails or takes too long. ``StorageError``."""
        self._thread.start()
        if self._opened.done.wait(longest_s):
            self._opened.result()
        else:
            self.take_over(StorageCause.DISK_HANGS, f"no answer for {longest_s:g} s")

    def take_over(self, cause: StorageCause, why: str) -> None:
        """Let memory stand in for a disk that does not answer."""
        self._executor.to_memory(lambda: self._begin_in_memory(cause, why))

    def copy(self, request: CopyRequest) -> None:
        """Have the file copied while it is in use. One at a time."""
        self._wanted = request
        self._executor.poke()

    def close(self, timeout_s: float) -> bool:
        """Finish, with a last try to leave memory; false while the thread is not at its end."""
        self._closing.set()
        self._executor.poke()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def about_to_commit(self, connection: sqlite3.Connection) -> None:
        """Read what memory would have to know after this commit."""
        if connection is self._file:
            self._next_seeds = copying.seeds_of(connection)

    def _committed(self) -> None:
        self._seeds, self._next_seeds = self._next_seeds or self._seeds, None

    def _begin_in_memory(self, cause: StorageCause, why: str) -> sqlite3.Connection:
        memory = opening.open_file(None)
        copying.sow(memory, self._seeds)
        self._health.degrade(cause, why)
        return memory

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._open_first()
        except Exception as error:  # noqa: BLE001 - raised where the start waits for it
            self._opened.fail(error)
            return
        tried_last = False
        while True:
            closing = self._closing.is_set()
            job, epoch = self._executor.next(0.0 if closing else WATCH_S)
            mode = self._executor.mode
            moved = False
            try:
                if job is not None:
                    self._do(job, epoch)
                elif mode is Mode.DISK and not closing:
                    moved = self._moved(epoch)
                    self._copy_wanted(epoch)
                elif mode is Mode.MEMORY and (not tried_last if closing else self._is_due()):
                    tried_last = closing
                    self._come_back()
                elif closing:
                    break
            except Exception:  # the top of the thread: memory takes over, and the way back is tried
                logger.exception("storage_failed")
                self._fail("an error of its own", epoch)
            if job is None and not moved:
                self._executor.turned()
        self._close()

    def _is_due(self) -> bool:
        """Whether the way back is tried: now and then, and at once by whom a hung disk let go."""
        return self._clock() >= self._retry_at or self._file is not None

    def _open_first(self) -> None:
        epoch = self._executor.epoch
        try:
            file = self._open_or_replace()
            self._mark = opening.mark_of(file)
            self._seeds = copying.seeds_of(file)
        except (OSError, sqlite3.Error) as error:
            self._fail(str(error), epoch)
        else:
            self._file = file
            self._executor.to_disk(epoch)
        self._opened.succeed(None, [])

    def _open_or_replace(self) -> sqlite3.Connection:
        """Open the file; one that cannot be read is set aside, never deleted."""
        try:
            file = opening.open_folder(self._path)
        except sqlite3.Error as error:
            if not opening.is_corrupt(error):
                raise
            self._set_aside(error)
            file = opening.open_folder(self._path)
        self._place = opening.place_of(self._path)
        return file

    def _set_aside(self, error: sqlite3.Error) -> None:
        self._health.set_aside(self._path, str(error), opening.set_aside(self._path))

    def _close(self) -> None:
        for left in self._left:
            with contextlib.suppress(sqlite3.Error):
                for kind, count in copying.waiting(left).items():
                    self.left_behind[kind] = self.left_behind.get(kind, 0) + count
        for connection in (self._file, *self._left):
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()
        if self._executor.mode is Mode.DISK:
            self._executor.end()

    # --- work, and how it fails ------------------------------------------------------------------

    def _do(self, job: Job[Any], epoch: int) -> None:
        assert self._file is not None
        try:
            self._executor.do(self._file, job, epoch)
        except AbandonedError:
            return
        except sqlite3.Error as error:
            if opening.is_corrupt(error):
                self._replace(error, job, epoch)
            elif isinstance(error, sqlite3.OperationalError):
                self._fail(str(error), epoch, job)
            else:
                self._executor.settle(job, epoch, error)

    def _replace(self, error: sqlite3.Error, job: Job[Any], epoch: int) -> None:
        """Set a damaged file aside, and do the job in a new one."""
        self._let_go()
        try:
            self._set_aside(error)
            self._file = file = self._open_or_replace()
            self._mark = opening.mark_of(file)
            self._seeds = copying.seeds_of(file)
            self._health.swapped()
            self._executor.do(file, job, epoch)
        except AbandonedError:
            return
        except (OSError, sqlite3.Error, StorageError) as again:
            self._fail(str(again), epoch, job)

    def _fail(self, why: str, epoch: int, job: Job[Any] | None = None) -> None:
        """The disk takes nothing more: go on in memory with what can be read."""
        self._retry_at = self._clock() + RETRY_S
        memory = opening.open_file(None)
        left = 0
        try:
            if self._file is None:
                copying.sow(memory, self._seeds)
            else:
                left = copying.copy_out(self._file, memory, MEMORY_MAX_BYTES)
        except sqlite3.Error as unreadable:
            self._health.note_loss(f"what the state file held cannot be read ({unreadable})")
            memory.close()  # half a copy would pass for all that there is
            memory = opening.open_file(None)
            copying.sow(memory, self._seeds)
        self._let_go()

        def begin() -> sqlite3.Connection:
            self._health.degrade(StorageCause.NOT_DURABLE, why)
            if left:
                log_event(logger, logging.WARNING, "storage_backlog_left_on_disk", messages=left)
            return memory

        if not self._executor.to_memory(begin, job, epoch):
            memory.close()

    def _moved(self, epoch: int) -> bool:
        """Notice that the file has lost its place, while it can still be read."""
        if opening.place_of(self._path) == self._place:
            return False
        self._health.note_loss(REPLACED)
        self._retry_at = -math.inf
        self._executor.to_memory(
            lambda: self._begin_in_memory(StorageCause.FOLDER_REPLACED, REPLACED), epoch=epoch
        )
        return True

    def _copy_wanted(self, epoch: int) -> None:
        wanted, self._wanted = self._wanted, None
        file = self._file
        if wanted is not None and file is not None:
            wanted.stays = lambda now: now == epoch and self._file is file
            wanted.make(file, self._executor, self._do, self._closing)

    # --- the way back ----------------------------------------------------------------------------

    def _come_back(self) -> None:
        """Open the file that lies in the place now, and let memory join it."""
        self._retry_at = self._clock() + RETRY_S
        self._let_go()
        try:
            file = self._open_or_replace()
        except (OSError, sqlite3.Error, StorageError) as error:
            self._still_away(str(error))
            return
        try:
            self._recognise(file)
            self._carry_over(file)
            epoch = self._join(file)
            seeds = copying.seeds_of(file)
        except sqlite3.Error as error:
            self._still_away(str(error))
            with contextlib.suppress(sqlite3.Error):
                file.close()
            return
        self._file = file
        if epoch is not None and self._executor.to_disk(epoch):
            self._seeds, self._next_seeds = seeds, None
            self._said = ""
            self._health.recover()

    def _still_away(self, why: str) -> None:
        """Say why the way back is barred: a reason once, not each time it is tried."""
        level = logging.DEBUG if why == self._said else logging.WARNING
        self._said = why
        log_event(logger, level, "storage_still_away", reason=why)

    def _let_go(self) -> None:
        """Close what was open; a file that has lost its place is kept, as nobody else has it."""
        file, self._file = self._file, None
        if file is None:
            return
        if self._place is not None and opening.place_of(self._path) != self._place:
            self._left.append(file)
            return
        with contextlib.suppress(sqlite3.Error):
            file.close()

    def _recognise(self, file: sqlite3.Connection) -> None:
        """Where it is another file than memory was copied from, it has nothing of that."""
        before, mark = self._mark, opening.mark_of(file)
        self._mark = mark
        if before is None or mark != opening.Mark(before.name, before.opened + 1):
            with self._executor.lock:
                if self._executor.memory is not None:
                    copying.forget_taken(self._executor.memory)

    def _carry_over(self, file: sqlite3.Connection) -> None:
        while self._left:
            try:
                copying.carry_over(self._left[0], file)
            except sqlite3.Error as error:
                self._unread += 1
                if self._unread < UNREAD_MAX:
                    raise
                self._health.note_loss(f"what the state file held cannot be read ({error})")
            self._unread = 0
            with contextlib.suppress(sqlite3.Error):
                self._left.pop(0).close()
        with transaction(file):
            for work in self.on_join:
                work(file)

    def _join(self, file: sqlite3.Connection) -> int | None:
        """Return the epoch in which memory may be left; None where it is closed already."""
        while True:
            with self._executor.lock:
                memory = self._executor.memory
                if memory is None:
                    return None
                changes = copying.changes_of(memory)
                if changes.whole:
                    epoch = self._executor.begin_joining()
                    break
            copying.join(changes, file)
            with self._executor.lock:
                copying.joined(changes, memory)
        try:
            copying.join(changes, file)
        except sqlite3.Error:
            self._executor.to_memory(lambda: memory, epoch=epoch)
            raise
        return epoch
