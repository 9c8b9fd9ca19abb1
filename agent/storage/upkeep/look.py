"""What a folder of state holds, and how it is. Looks only."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from agent.storage.errors import StorageError
from agent.storage.file.identity import owner_in
from agent.storage.file.migrations import VERSION, version_of
from agent.storage.rows import Kind
from agent.storage.upkeep.held import held, look_through

SET_ASIDE = (".corrupt-", ".replaced-")


@dataclass(frozen=True, slots=True)
class Looked:
    """One database. ``rows`` by table, ``waiting`` undelivered messages by kind, ``owner`` empty
    where nobody's name is in it."""

    file: Path
    schema: int
    owner: str = ""
    bytes: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)

    @property
    def later(self) -> bool:
        return self.schema > VERSION


def look_at(path: Path) -> Looked:
    """Read every page of a database that nobody has open. ``StorageError`` where it is damaged,
    in use, not there, or another user's."""
    with held(path) as connection:
        look_through(path, connection)
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        tables = sorted(str(row[0]) for row in names if not str(row[0]).startswith("sqlite_"))
        return Looked(
            file=path,
            schema=version_of(connection),
            owner=owner_in(connection),
            bytes=path.stat().st_size,
            rows={name: _count(connection, f'"{name}"') for name in tables},
            waiting=_waiting(connection) if "outbox" in tables else {},
        )


def set_aside_in(folder: Path) -> list[Path]:
    """The databases in a folder that were set aside, the oldest first."""
    found: list[Path] = []
    with contextlib.suppress(OSError):
        found = [one for one in folder.iterdir() if _is_aside(one.name)]
    return sorted(found)


def _is_aside(name: str) -> bool:
    beside = name.endswith(("-wal", "-shm", "-journal"))
    return not beside and any(word in name for word in SET_ASIDE)


def require_folder(folder: Path | None) -> Path:
    """The folder of state that a configuration names. ``StorageError`` where it names none, or it
    is not there."""
    if folder is None:
        raise StorageError(
            "state_dir: is not set: this agent keeps nothing that could be looked at"
        )
    if not folder.is_dir():
        raise StorageError(
            f"state_dir: {folder} is not there: no agent has kept anything in it yet"
        )
    return folder


def _count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


def _waiting(connection: sqlite3.Connection) -> dict[str, int]:
    query = "SELECT kind, count(*) FROM outbox WHERE acked_mono IS NULL GROUP BY kind"
    known = {kind.value: kind.name.lower() for kind in Kind}
    return {known.get(kind, str(kind)): int(n) for kind, n in connection.execute(query)}
