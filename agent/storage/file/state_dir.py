"""Whether a folder can hold the database, found out before anything is opened or changed.

A file of a later version is healthy: it is left as it is, and the agent that cannot read it ends.
"""

from __future__ import annotations

import errno
import fcntl
import struct
import tempfile
from pathlib import Path

from agent.storage.file.identity import foreign, owner_at
from agent.storage.file.migrations import VERSION

FILE = "pitwatch.db"
NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
MAGIC = b"SQLite format 3\0"
PAGE_1_BYTES = 100
"""The header of a database, which its first page begins with (https://sqlite.org/fileformat2.html,
section 1.3); user_version stands at byte 60."""
WAL_HEADER_BYTES = 32
WAL_FRAME_BYTES = 24
WAL_MAGIC = (0x377F0682, 0x377F0683)


def refusal(folder: Path, owner: str = "") -> str | None:
    """Why this folder cannot serve, in words that follow its name; None when it can.

    ``owner``: the agent that it is to serve; empty: any.
    Looks only; what else may be wrong with the disk is lived with and no refusal.
    """
    try:
        version = file_version(folder / FILE)
        if version > VERSION:
            return (
                f"holds a {FILE} of a later version of pitwatch (schema {version}, this one knows "
                f"up to {VERSION}); it is left as it is: install that version again, put back what "
                f"was before it with pitwatch state restore, or name another folder"
            )
        if owner and (whose := foreign(owner_at(folder / FILE), owner)):
            return whose
        return None if has_locks(folder) else "is on a file system without locks; name a local disk"
    except OSError:
        return None


def has_locks(folder: Path) -> bool:
    """Whether files in a folder can be locked. ``OSError`` where none can be made."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        try:
            fcntl.lockf(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in NO_LOCKS:
                return False
            raise
    return True


def file_version(path: Path) -> int:
    """Return the schema version of a file with the log beside it; 0 where there is no database.

    Read as bytes: a connection would take over the log and write it into the file. ``OSError``.
    """
    try:
        with path.open("rb") as file:
            page = file.read(PAGE_1_BYTES)
    except FileNotFoundError:
        return 0
    version = _version(page)
    try:
        return _logged_version(path.with_name(path.name + "-wal"), version)
    except FileNotFoundError:
        return version


def _version(page: bytes) -> int:
    if len(page) < PAGE_1_BYTES or not page.startswith(MAGIC):
        return 0
    return int(struct.unpack_from(">I", page, 60)[0])


def _logged_version(wal: Path, version: int) -> int:
    """The version in the newest copy of page 1 that the log holds; ``version`` without one."""
    with wal.open("rb") as file:
        header = file.read(WAL_HEADER_BYTES)
        if len(header) < WAL_HEADER_BYTES:
            return version
        magic, _format, page_bytes, _number, *salts = struct.unpack_from(">6I", header)
        if magic not in WAL_MAGIC:
            return version
        pending = version
        while len(frame := file.read(WAL_FRAME_BYTES)) == WAL_FRAME_BYTES:
            number, pages, *of_frame = struct.unpack_from(">4I", frame)
            if of_frame != salts:  # left over from an earlier turn of the log
                break
            page = file.read(page_bytes)
            if number == 1:
                pending = _version(page)
            if pages:  # the frame ends a transaction
                version = pending
    return version
