"""One SQLite file and how it fails: set aside when corrupt, replaced by memory when unwritable.

Write-ahead log with ``synchronous=FULL``: a commit is one append and one sync of the log, where a
rollback journal would sync three times. ``locking_mode=EXCLUSIVE`` keeps the file for this process
alone, so that a second agent on the same directory is told so at its start; the kernel takes the
lock back when the process dies, however it dies.

A write that fails because the disk is full, read-only or broken never reaches the caller: what the
file holds is copied into memory (of a large file the states and alarm events), the write is done
there, and every ``RETRY_S`` the way back to the disk is tried. Nothing is durable meanwhile, which
``status`` says. What memory holds then joins the file.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from agent.records import StorageStatus
from agent.storage.copying import copy_back, copy_out
from agent.storage.errors import StateDirError, StorageError
from agent.storage.migrations import STEPS, migrate
from agent.storage.state_dir import refusal
from agent.storage.transaction import transaction
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

RETRY_S = 30.0
MEMORY_MAX_BYTES = 64 * 1024 * 1024
"""What is kept in memory when the disk fails; of a larger file the states and alarm events."""
WAL_KEPT_BYTES = 8 * 1024 * 1024
BUSY_S = 2.0
"""How long a lock of another process is waited for at the start: it may be dying."""
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class Database:
    """Runs pieces of work, each in one transaction, one at a time. ``path`` None: memory only.

    Raises ``StorageError`` when another process has the file, ``StateDirError`` when its folder can
    never serve. Any other trouble with the disk is
    lived with.
    """

    def __init__(self, path: Path | None, telemetry: Telemetry, clock: Clock) -> None:
        self.path = path
        self._telemetry = telemetry
        self._clock = clock
        self._lock = threading.RLock()
        self._depth = 0
        self._after: list[Callable[[], None]] = []
        self._undone: list[Callable[[], None]] = []
        self._retry_at = 0.0
        self.generation = 0
        """Rises whenever another file, or memory, has taken the place of what was open."""
        self._status = StorageStatus(durable=path is not None)
        self._connection = self._open_first()
        self._say()

    # --- work ------------------------------------------------------------------------------------

    def run(self, work: Work[T]) -> T:
        """Do ``work`` in one transaction and return its result once it is committed.

        Work inside work joins the outer transaction. Work may be done twice (when the disk fails in
        the middle, once more in memory), so what it changes outside of the database belongs into
        ``after_commit``.
        """
        with self._lock:
            if self._depth:
                return work(self._connection)
            try:
                result = self._transact(work)
            except sqlite3.Error as error:
                if not self._survive(error):
                    raise
                result = self._transact(work)
            callbacks, self._after = self._after, []
        for callback in callbacks:
            callback()
        return result

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return what a query finds that changes nothing."""
        with self._lock:
            try:
                return self._connection.execute(query, parameters).fetchall()
            except sqlite3.Error as error:
                if self._depth or not self._survive(error):
                    raise
                return self._connection.execute(query, parameters).fetchall()

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Inside ``run``: call this once everything is on the disk, and not if it never is."""
        self._after.append(callback)

    def on_rollback(self, callback: Callable[[], None]) -> None:
        """Call this whenever what was learnt of the tables may be wrong: work was undone, or they
        are others now."""
        self._undone.append(callback)

    def _transact(self, work: Work[T]) -> T:
        connection = self._connection
        started = self._clock()
        connection.execute("BEGIN IMMEDIATE")
        self._depth += 1
        try:
            result = work(connection)
            self._commit(connection)
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self._after.clear()
            for callback in self._undone:
                callback()
            raise
        finally:
            self._depth -= 1
        self._telemetry.observe("storage_commit_seconds", max(0.0, self._clock() - started))
        return result

    def _commit(self, connection: sqlite3.Connection) -> None:
        connection.execute("COMMIT")

    # --- state -----------------------------------------------------------------------------------

    @property
    def status(self) -> StorageStatus:
        return self._status

    def size_bytes(self) -> tuple[int, int]:
        """Return the bytes of the pages that hold something, and of all pages."""
        ((pages, free, size),) = self.rows(
            "SELECT * FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
        )
        return (pages - free) * size, pages * size

    def note_loss(self, what: str) -> None:
        """Remember that something that should have been kept is gone, for whoever watches."""
        self._status = replace(
            self._status, losses=self._status.losses + 1, lost_mono=self._clock(), loss=what
        )

    def tick(self, now: float) -> None:
        """Try the way back to a disk that failed, now and then."""
        if self._status.degraded and self.path is not None and now >= self._retry_at:
            with self._lock:
                self._retry_at = now + RETRY_S
                self._return_to_disk(self.path)

    def close(self) -> None:
        """Checkpoint and close; the lock on the file is gone afterwards."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._connection.close()

    # --- opening ---------------------------------------------------------------------------------

    def _open_first(self) -> sqlite3.Connection:
        if self.path is None:
            return _open(None)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if refused := refusal(self.path.parent):
                raise StateDirError(f"state_dir: {self.path.parent} {refused}")
            return self._open_or_replace(self.path)
        except (OSError, sqlite3.Error) as error:
            self._degrade(str(error))
            return _open(None)

    def _open_or_replace(self, path: Path) -> sqlite3.Connection:
        """Open the file; one that cannot be read is set aside, never deleted."""
        try:
            return _open(path)
        except sqlite3.Error as error:
            if _is_busy(error):
                raise StorageError(
                    f"state_dir: {path.parent} is in use by another process; "
                    "every agent needs an id and a state_dir of its own"
                ) from error
            if not _is_corrupt(error):
                raise
            self._set_aside(path, str(error))
            return _open(path)

    def _set_aside(self, path: Path, why: str) -> None:
        stamp = time.time_ns() // 1_000_000
        for suffix in ("", "-wal", "-shm"):
            file = path.with_name(path.name + suffix)
            if file.exists():
                file.rename(path.with_name(f"{path.name}.corrupt-{stamp}{suffix}"))
        self._telemetry.count("storage_losses", reason="corrupt")
        self.note_loss("the state file was damaged and set aside")
        log_event(logger, logging.ERROR, "spool_loss", file=str(path), reason=why, kept=stamp)

    # --- failing and coming back -----------------------------------------------------------------

    def _survive(self, error: sqlite3.Error) -> bool:
        """Make the next attempt possible; false for what is no fault of the disk."""
        if self.path is None or not isinstance(error, sqlite3.DatabaseError):
            return False
        if _is_corrupt(error):
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            try:
                self._set_aside(self.path, str(error))
                self._connection = _open(self.path)
            except (OSError, sqlite3.Error) as again:
                self._degrade(str(again))
                self._connection = _open(None)
            self._swapped()
            return True
        if self._status.degraded or not isinstance(error, sqlite3.OperationalError):
            return False
        self._degrade(str(error))
        disk, self._connection = self._connection, _open(None)
        try:
            left = copy_out(disk, self._connection, MEMORY_MAX_BYTES)
        except sqlite3.Error as unreadable:
            self.note_loss(f"what the state file held cannot be read ({unreadable})")
            self._connection.close()
            self._connection = _open(None)  # half a copy would pass for all that there is
        else:
            if left:
                log_event(logger, logging.WARNING, "storage_backlog_left_on_disk", messages=left)
        with contextlib.suppress(sqlite3.Error):
            disk.close()
        self._swapped()
        return True

    def _swapped(self) -> None:
        self.generation += 1
        for callback in self._undone:
            callback()
        self._say()

    def _degrade(self, why: str) -> None:
        self._telemetry.count("storage_losses", reason="not_durable")
        self._retry_at = self._clock() + RETRY_S
        self._status = replace(self._status, degraded=why)
        log_event(logger, logging.ERROR, "storage_degraded", file=str(self.path), reason=why)
        self._say()

    def _return_to_disk(self, path: Path) -> None:
        """Put what memory holds into the file, in one transaction of the file."""
        try:
            disk = self._open_or_replace(path)
        except (OSError, sqlite3.Error, StorageError):
            return
        try:
            copy_back(self._connection, disk)
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                disk.close()
            return
        memory, self._connection = self._connection, disk
        memory.close()
        self._status = replace(self._status, degraded="")
        log_event(logger, logging.WARNING, "storage_recovered", file=str(path))
        self._swapped()

    def _say(self) -> None:
        durable = self._status.durable and not self._status.degraded
        self._telemetry.gauge("storage_durable", float(durable))


def _open(path: Path | None) -> sqlite3.Connection:
    """Return a connection in autocommit mode with the newest schema. ``sqlite3.Error``."""
    connection = sqlite3.connect(
        str(path) if path is not None else ":memory:",
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
        _check(connection)
        if migrate(connection, STEPS) == 0:
            # No id comes twice, not even in the file that takes a damaged one's place.
            start = time.time_ns() // 1_000_000
            connection.execute("INSERT INTO sqlite_sequence VALUES ('outbox', ?)", (start,))
        # Writes, so that a file that cannot be written is found now and the lock is ours.
        with transaction(connection):
            connection.execute(
                "INSERT INTO counter VALUES ('opened', 1) "
                "ON CONFLICT (name) DO UPDATE SET value = value + 1"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Look at every page."""
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise _corrupt(verdict)


def _corrupt(why: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(why)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _is_corrupt(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )
