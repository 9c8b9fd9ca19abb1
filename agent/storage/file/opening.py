"""A connection to the file, or to memory, with the newest schema; what an error of it means."""

from __future__ import annotations

import secrets
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from agent.storage.errors import StateDirError, StorageError
from agent.storage.file.backup import back_up_before_migration
from agent.storage.file.migrations import STEPS, migrate
from agent.storage.file.state_dir import refusal
from agent.storage.file.transaction import transaction

WAL_KEPT_BYTES = 8 * 1024 * 1024
BUSY_S = 2.0
"""How long a lock of another process is waited for at the start: it may be dying."""
OPENED, NAME = "opened", "file"
"""Counters of the file itself: how often it was opened, and a number that no other file has."""
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file lies: the device and its number there."""

    device: int
    number: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Tells a file, as it was left, from any other that lies in its place later."""

    name: int
    opened: int


def open_file(path: Path | None) -> sqlite3.Connection:
    """Return a connection in autocommit mode with the newest schema. ``sqlite3.Error``.

    A file of an earlier schema is copied beside itself before it is migrated; ``OSError`` where
    that cannot be done, and it stays as it is.
    """
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
        if bring_up_to_date(connection, path) == 0:
            # No id comes twice, not even in the file that takes a damaged one's place.
            start = time.time_ns() // 1_000_000
            connection.execute("INSERT INTO sqlite_sequence VALUES ('outbox', ?)", (start,))
        # Writes, so that a file that cannot be written is found now and the lock is ours.
        with transaction(connection):
            connection.execute(
                "INSERT INTO counter VALUES (?, 1) "
                "ON CONFLICT (name) DO UPDATE SET value = value + 1",
                (OPENED,),
            )
            connection.execute(
                "INSERT OR IGNORE INTO counter VALUES (?, ?)", (NAME, secrets.randbits(62))
            )
    except BaseException:
        connection.close()
        raise
    return connection


def bring_up_to_date(connection: sqlite3.Connection, path: Path | None) -> int:
    """Migrate to the newest schema, a file not before it was copied beside itself; return the
    version that it had. ``OSError``, ``sqlite3.Error``."""
    if path is not None:
        back_up_before_migration(connection, path, len(STEPS))
    return migrate(connection, STEPS)


def _check(connection: sqlite3.Connection) -> None:
    """Look at every page."""
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise corrupt(verdict)


def open_folder(path: Path) -> sqlite3.Connection:
    """Make the folder where it is missing, and open the file in it.

    ``StateDirError`` for a folder that can never serve, ``StorageError`` when another process has
    it; ``OSError`` and ``sqlite3.Error`` for trouble with the disk or the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if refused := refusal(path.parent):
        raise StateDirError(f"state_dir: {path.parent} {refused}")
    try:
        return open_file(path)
    except sqlite3.Error as error:
        if is_busy(error):
            raise StorageError(
                f"state_dir: {path.parent} is in use by another process; "
                "every agent needs an id and a state_dir of its own"
            ) from error
        raise


def mark_of(connection: sqlite3.Connection) -> Mark:
    """Return what tells this file, as it is now, from others."""
    query = "SELECT (SELECT value FROM counter WHERE name = ?), value FROM counter WHERE name = ?"
    return Mark(*connection.execute(query, (NAME, OPENED)).fetchone())


def place_of(path: Path) -> Place | None:
    """Return where the file lies that has this path now; None without one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Place(found.st_dev, found.st_ino)


def set_aside(path: Path) -> int:
    """Rename a damaged file, never delete it; return the number in its new name. ``OSError``."""
    stamp = time.time_ns() // 1_000_000
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(path.with_name(f"{path.name}.corrupt-{stamp}{suffix}"))
    return stamp


def corrupt(why: str) -> sqlite3.DatabaseError:
    """An error that means a damaged file."""
    error = sqlite3.DatabaseError(why)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def is_corrupt(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT


def is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )
