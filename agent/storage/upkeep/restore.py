"""Put a backup in the place of the database of a folder, and lose nothing that waits there.

The backup gives the file and its schema; what the present file holds and can be read goes over
into it, so that an earlier version of the program goes on where a later one stopped, with every
message that was not delivered. The present file is kept beside it.

The one moment that counts is a rename: before it the old file serves, after it the new one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.output_file import sync
from agent.storage.errors import StorageError
from agent.storage.file.backup import (
    CopyError,
    copy_pages,
    finish,
    like,
    needed_bytes,
    schema_backups,
)
from agent.storage.file.identity import owner_in
from agent.storage.file.migrations import version_of
from agent.storage.file.opening import NAME
from agent.storage.file.transaction import transaction
from agent.storage.upkeep.carry import Carried, add_undelivered, bring_up
from agent.storage.upkeep.held import (
    UnreadableError,
    explained,
    held,
    look_through,
    refuse_later,
    refuse_of_others,
)
from agent.storage.upkeep.salvage import Salvage

REPLACED = "replaced"
CORRUPT = "corrupt"


@dataclass(slots=True)
class Restored:
    """What became of it. ``kept``: the file that was there before; None: there was none.

    ``unreadable``: why nothing of that could be carried over; empty where it could.
    """

    schema: int
    kept: Path | None = None
    unreadable: str = ""
    carried: Carried = field(default_factory=Carried)


def newest_backup(path: Path) -> Path:
    """The backup made before the last migration. ``StorageError`` where there is none."""
    if found := schema_backups(path):
        return found[-1]
    raise StorageError(
        f"{path.parent}: there is no backup made before a migration; name the file to restore"
    )


def restore(backup: Path, path: Path, owner: str = "", as_it_was: bool = False) -> Restored:
    """Put ``backup`` in the place of ``path``; no agent may have either.

    Messages that wait in the present file, its alarms, its counters, its audit and its history are
    carried over as far as they can be read; with ``as_it_was`` the messages and counters alone.
    ``owner``: the agent it is for.

    ``StorageError`` where the backup is damaged, cut short, of a later version or of another agent,
    where an agent runs, and where the disk does not take it; the folder is then as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if backup.resolve() == path.resolve():
            raise StorageError(f"{backup}: is the file that serves, and no backup of it")
        part = path.with_name(f"{path.name}.restored.part")
        try:
            _copy_backup(backup, part, path, owner)
            with _present(path) as (present, why):
                return _exchange(part, path, present, why, as_it_was)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{error.filename or path}: {error.strerror}") from error
    except (CopyError, sqlite3.Error) as error:
        raise StorageError(f"{path}: {error}; nothing was changed") from error


def _copy_backup(backup: Path, part: Path, path: Path, owner: str) -> None:
    """Check a backup and copy it: what is put in place is the copy, the backup stays."""
    needed, free = needed_bytes(backup) + needed_bytes(path), shutil.disk_usage(part.parent).free
    if free < needed:
        raise StorageError(
            f"{part.parent}: {free >> 20} MiB are free, {(needed >> 20) + 1} MiB are needed"
        )
    with _read_only(backup) as connection:
        refuse_later(backup, connection)
        look_through(backup, connection)
        if version_of(connection) == 0:
            raise StorageError(f"{backup}: is no database of pitwatch")
        whose = owner_in(connection)
        if whose and owner and whose != owner:
            raise StorageError(f"{backup}: is the state of another agent: {whose}, not {owner}")
        part.unlink(missing_ok=True)
        copy_pages(connection, part)
    finish(part)


@contextlib.contextmanager
def _read_only(backup: Path) -> Iterator[sqlite3.Connection]:
    """A backup as it lies there. Nothing is written beside it unless it has a log of its own."""
    if not backup.is_file():
        raise StorageError(f"{backup}: there is no such file")
    if backup.with_name(f"{backup.name}-wal").exists():
        with held(backup) as connection:
            yield connection
        return
    if not os.access(backup, os.R_OK):
        refuse_of_others(backup)
    uri = f"{backup.absolute().as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        connection.execute("PRAGMA schema_version").fetchone()
        yield connection
    except sqlite3.Error as error:
        raise explained(backup, error) from error
    finally:
        connection.close()


@contextlib.contextmanager
def _present(path: Path) -> Iterator[tuple[sqlite3.Connection | None, str]]:
    """The file that is there now, locked; None with the reason where it cannot be opened."""
    if not path.exists():
        yield None, ""
        return
    with contextlib.ExitStack() as stack:
        connection, why = None, ""
        try:
            connection = stack.enter_context(held(path))
        except UnreadableError as error:
            why = str(error)
        yield connection, why


def _exchange(
    part: Path, path: Path, present: sqlite3.Connection | None, why: str, as_it_was: bool
) -> Restored:
    target = sqlite3.connect(part, isolation_level=None)
    try:
        done = Restored(version_of(target), unreadable=why)
        if present is not None:
            source = Salvage(present)
            same = not as_it_was and _number(present) == _number(target) is not None
            with transaction(target):
                done.carried = (bring_up if same else add_undelivered)(source, target)
    finally:
        target.close()
    sync(part)
    there = path.exists()
    like(part, path if there else path.parent)
    if there:
        damaged = present is None or bool(done.carried.unread)
        done.kept = _keep(path, present, CORRUPT if damaged else REPLACED)
    part.replace(path)
    sync(path.parent)
    return done


def _keep(path: Path, present: sqlite3.Connection | None, word: str) -> Path:
    """Give the present file a second name, and take its log away from the first one: a log that
    lay beside another file would be written into it."""
    kept = path.with_name(f"{path.name}.{word}-{time.time_ns() // 1_000_000}")
    if present is not None:
        with contextlib.suppress(sqlite3.Error):
            # the log goes into the file, and from the disk
            present.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            present.execute("PRAGMA journal_mode = DELETE").fetchall()
    try:
        os.link(path, kept)
    except OSError:  # a file system without links
        shutil.copy2(path, kept)
        sync(kept)
    for suffix in ("-wal", "-shm", "-journal"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(kept.with_name(kept.name + suffix))
    sync(path.parent)
    return kept


def _number(connection: sqlite3.Connection) -> int | None:
    """The number that no other file has."""
    try:
        query = "SELECT value FROM counter WHERE name = ?"
        found = connection.execute(query, (NAME,)).fetchone()
    except sqlite3.Error:
        return None
    return int(found[0]) if found else None
