"""A database copied whole into another file, while it is in use, and before it is migrated.

SQLite's online backup copies pages; what is written meanwhile is in the copy, too. The copy is one
file without a log beside it, looked through before it gets its name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.output_file import sync
from agent.storage.file.migrations import version_of

PAGES = 64
"""Pages copied at a time, 256 KiB: other work can be done in between."""
SCHEMAS_KEPT = 2
"""Backups of earlier schemas that stay; the oldest go."""
ROOM_BYTES = 1 << 20
"""What has to be free beside the copy itself."""


class CopyError(Exception):
    """A copy that could not be made; the text says of what and why."""


def copy_whole(source: sqlite3.Connection, path: Path, replace: bool = False) -> int:
    """Copy a database to ``path``, which appears whole or not at all; return its bytes.

    ``CopyError`` where the file is there already (unless ``replace``) or the copy does not pass its
    look-through; ``OSError`` and ``sqlite3.Error`` where the disk refuses. Nothing half written is
    left.
    """
    with part_of(path, replace) as part:
        copy_pages(source, part)
    return path.stat().st_size


@contextlib.contextmanager
def part_of(path: Path, replace: bool = False) -> Iterator[Path]:
    """The name under which a copy is written; at the end it is looked through, is on the disk, and
    has its own name. Errors as above."""
    if not replace and path.exists():
        raise CopyError(f"{path}: is there already, and is left as it is")
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield part
        finish(part)
        if replace:
            part.replace(path)
        else:
            _place(part, path)
        sync(path.parent)
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                part.with_name(part.name + suffix).unlink(missing_ok=True)


def copy_pages(
    source: sqlite3.Connection, part: Path, between: Callable[[], None] = lambda: None
) -> None:
    """Copy the pages of a database into a file that nobody has open; nothing is synced.

    ``between`` is called after each ``PAGES`` pages, and may use ``source``. ``sqlite3.Error``.
    """
    target = sqlite3.connect(part, isolation_level=None)
    try:
        target.execute("PRAGMA synchronous = OFF").fetchall()
        source.backup(target, pages=PAGES, progress=lambda *_: between())
    finally:
        target.close()


def finish(part: Path) -> None:
    """Make a copy one file, look through every page of it, and have it on the disk."""
    target = sqlite3.connect(part, isolation_level=None)
    try:
        target.execute("PRAGMA journal_mode = DELETE").fetchall()
        verdict = target.execute("PRAGMA quick_check(1)").fetchone()[0]
    finally:
        target.close()
    if verdict != "ok":
        raise CopyError(f"{part}: the copy is damaged: {verdict}")
    sync(part)


def backup_name(path: Path, version: int) -> Path:
    """Return where the backup of a file goes before it leaves this schema version."""
    return path.with_name(f"{path.name}.schema-{version}.backup")


def schema_backups(path: Path) -> list[Path]:
    """Return the backups that were made before migrations, the oldest first."""
    return sorted(path.parent.glob(f"{path.name}.schema-*.backup"), key=_made)


def back_up_before_migration(
    connection: sqlite3.Connection, path: Path, newest: int
) -> Path | None:
    """Copy a file that is about to be migrated to schema ``newest`` beside itself; None where
    nothing is migrated.

    ``OSError`` and ``sqlite3.Error`` where there is no room: then nothing is migrated either.
    """
    version = version_of(connection)
    if version == 0 or version >= newest:
        return None
    backup = backup_name(path, version)
    try:
        copy_whole(connection, backup, replace=True)
    except CopyError as error:
        raise sqlite3.OperationalError(str(error)) from error
    for old in schema_backups(path)[:-SCHEMAS_KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()
    return backup


def needed_bytes(path: Path) -> int:
    """Return how much has to be free for a copy of a file and the log of what is done to it."""
    size = 0
    for file in (path, path.with_name(f"{path.name}-wal")):
        with contextlib.suppress(OSError):
            size += file.stat().st_size
    return 2 * size + ROOM_BYTES


def like(path: Path, of: Path) -> None:
    """Give a file the owner of another one, where root made it. ``OSError``."""
    if os.geteuid() == 0:
        found = of.stat()
        os.chown(path, found.st_uid, found.st_gid)


def _place(part: Path, path: Path) -> None:
    """Give a finished file its name, never that of a file that is there."""
    try:
        os.link(part, path)
    except FileExistsError as error:
        raise CopyError(f"{path}: is there already, and is left as it is") from error
    except OSError:  # a file system without links
        if path.exists():
            raise CopyError(f"{path}: is there already, and is left as it is") from None
        shutil.move(part, path)


def _made(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
