"""The file of a folder, held by a command: no agent can start on it meanwhile."""

from __future__ import annotations

import contextlib
import os
import pwd
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from agent.storage.errors import StorageError
from agent.storage.file.migrations import VERSION, version_of
from agent.storage.file.opening import is_busy, is_corrupt

WAIT_S = 2.0


class UnreadableError(StorageError):
    """A file that is no database, or a damaged one; the text names it."""


@contextlib.contextmanager
def held(path: Path) -> Iterator[sqlite3.Connection]:
    """The database at ``path``, in autocommit mode, for this process alone; nothing is migrated.

    ``StorageError`` where it is not there, another process has it, or it is another user's;
    ``UnreadableError`` where it cannot be read; other errors of SQLite while it is used become
    the same.
    """
    refuse_of_others(path)
    connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
        yield connection
    except sqlite3.Error as error:
        raise explained(path, error) from error
    finally:
        connection.close()


def refuse_of_others(path: Path) -> None:
    """``StorageError`` for a file that is not there, or that this user cannot read and write."""
    if not path.is_file():
        raise StorageError(f"{path}: there is no such file")
    for one in (path, path.parent):
        if not os.access(one, os.R_OK | os.W_OK):
            raise StorageError(
                f"{one}: belongs to {_user(one)}, and this user cannot write it: run the command "
                f"as {_user(one)} or as root"
            )


def explained(path: Path, error: sqlite3.Error) -> StorageError:
    """An error of SQLite in words for people."""
    if is_busy(error):
        return StorageError(
            f"{path}: is in use by a running agent; stop it first (systemctl stop pitwatch)"
        )
    if is_corrupt(error):
        short = _cut_short(path)
        return UnreadableError(f"{path}: cannot be read: {short or error}")
    return StorageError(f"{path}: {error}")


def refuse_later(path: Path, connection: sqlite3.Connection) -> None:
    """``StorageError`` for a file of a later schema than this program knows."""
    version = version_of(connection)
    if version > VERSION:
        raise StorageError(
            f"{path}: is of a later version of pitwatch (schema {version}, this one knows up to "
            f"{VERSION})"
        )


def look_through(path: Path, connection: sqlite3.Connection) -> None:
    """Look at every page and every index. ``UnreadableError`` with the first thing wrong."""
    try:
        verdict = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        raise explained(path, error) from error
    if verdict != "ok":
        raise UnreadableError(f"{path}: is damaged: {verdict.splitlines()[-1]}")


def _cut_short(path: Path) -> str:
    """What a file says of its own length where it is shorter: a copy that was not finished."""
    with contextlib.suppress(OSError):
        with path.open("rb") as file:
            header = file.read(32)
        page = int.from_bytes(header[16:18], "big")
        whole = (65536 if page == 1 else page) * int.from_bytes(header[28:32], "big")
        size = path.stat().st_size
        if header.startswith(b"SQLite format 3\0") and size < whole:
            return f"it is cut short, {size} of {whole} bytes"
        if size == 0:
            return "it is empty"
    return ""


def _user(path: Path) -> str:
    try:
        number = path.stat().st_uid
    except OSError:
        return "another user"
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"
