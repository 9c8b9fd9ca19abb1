"""Rows of one database into another, whose schema may be an earlier or a later one.

Columns go over by their names: one that the target has not is left out, one that only the target
has takes its default. So a version reads what a later one wrote, as far as it knows it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from agent.storage.file import identity
from agent.storage.file.opening import NAME, OPENED
from agent.storage.upkeep.salvage import TABLES, Row, Salvage

OWN_COUNTERS = (NAME, OPENED)
"""They tell a file from others."""
OWN_NUMBERS = frozenset({"minute", "occurrence", "audit"})
"""Their numbers mean nothing outside of their file; what makes a row the same is its content."""


@dataclass(slots=True)
class Carried:
    """How many rows went over, by table; ``undelivered`` of them wait for the broker.

    ``unread``: tables of which something could not be read, with the reason.
    """

    rows: dict[str, int] = field(default_factory=dict)
    undelivered: int = 0
    unread: dict[str, str] = field(default_factory=dict)


def bring_up(source: Salvage, target: sqlite3.Connection) -> Carried:
    """Make ``target``, an earlier state of the same file, what ``source`` is now.

    A table that cannot be read to its end keeps, beside what was read, the target's own rows: a
    message may then come twice and is never lost. Inside of a transaction of the target.
    """
    carried = Carried()
    for table in TABLES:
        into = _Table(target, table)
        if not into.columns or not source.columns(table):
            continue
        if table in OWN_NUMBERS:
            _add(source, into, carried, _keep_missing)
            continue
        before = into.keys()
        seen = set()
        for row in _read(source, into):
            if table == "counter" and row[0] in OWN_COUNTERS:
                continue
            seen.add(into.key(row))
            into.put(row, "INSERT OR REPLACE")
            _count(carried, into, row)
        if table not in source.damaged and table != "counter":
            for gone in before - seen:
                into.delete(gone)
    return _finish(source, target, carried)


def add_undelivered(source: Salvage, target: sqlite3.Connection) -> Carried:
    """Add to ``target`` what another file holds and it has not: messages that wait, with their
    pictures, states that it does not know, audit and history. Inside of a transaction of it.

    Counters never go back. The target's own rows win. The same twice changes nothing.
    """
    carried = Carried()
    for table in TABLES:
        into = _Table(target, table)
        if not into.columns or not source.columns(table):
            continue
        if table == "outbox":
            _add(source, into, carried, _keep_waiting)
        elif table == "counter":
            _raise_counters(source, into, carried)
        else:
            _add(source, into, carried, _keep_missing)
    return _finish(source, target, carried)


def waiting_in(source: Salvage) -> int:
    """Return how many messages wait for the broker in a file."""
    columns = source.columns("outbox")
    acked = columns.index("acked_mono") if "acked_mono" in columns else -1
    return sum(acked < 0 or row[acked] is None for row in source.rows("outbox"))


class _Table:
    """A table of the target, and where its rows' values stand."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self.name = name
        self._connection = connection
        info = connection.execute(f"PRAGMA table_info({name})").fetchall()
        self.columns = tuple(str(column[1]) for column in info)
        self.known: frozenset[str] = frozenset(self.columns)
        """Columns that the source has, too."""
        self._filler = {
            str(column[1]): _zero(str(column[2])) if column[3] and column[4] is None else column[4]
            for column in info
        }
        self._defaults = {str(column[1]) for column in info if column[4] is not None}

    def adapted(self, columns: tuple[str, ...], row: Row) -> Row:
        """A row of other columns as one of this table."""
        self.known = frozenset(columns)
        have = dict(zip(columns, row, strict=True))
        return tuple(
            have[name]
            if name in have
            else _literal(self._filler[name])
            if name in self._defaults
            else self._filler[name]
            for name in self.columns
        )

    def key(self, row: Row) -> Any:
        return row[0]

    def keys(self) -> set[Any]:
        query = f"SELECT {self.columns[0]} FROM {self.name}"  # noqa: S608
        return {row[0] for row in self._connection.execute(query)}

    def value(self, row: Row, column: str) -> Any:
        return row[self.columns.index(column)]

    def find(self, key: Any) -> Row | None:
        query = f"SELECT * FROM {self.name} WHERE {self.columns[0]} = ?"  # noqa: S608
        found: Row | None = self._connection.execute(query, (key,)).fetchone()
        return found

    def put(self, row: Row, how: str) -> bool:
        marks = ", ".join("?" * len(row))
        cursor = self._connection.execute(f"{how} INTO {self.name} VALUES ({marks})", row)
        return cursor.rowcount > 0

    def delete(self, key: Any) -> None:
        self._connection.execute(
            f"DELETE FROM {self.name} WHERE {self.columns[0]} = ?",  # noqa: S608
            (key,),
        )

    def has_like(self, row: Row) -> bool:
        """Whether there is a row with the same content, whatever its number, as far as the source
        knows its columns."""
        names = [name for name in self.columns[1:] if name in self.known]
        same = " AND ".join(f"{name} IS ?" for name in names)
        query = f"SELECT 1 FROM {self.name} WHERE {same} LIMIT 1"  # noqa: S608
        values = [self.value(row, name) for name in names]
        return self._connection.execute(query, values).fetchone() is not None


def _read(source: Salvage, into: _Table) -> Iterable[Row]:
    columns = source.columns(into.name)
    for row in source.rows(into.name):
        yield into.adapted(columns, row)


def _add(
    source: Salvage,
    into: _Table,
    carried: Carried,
    how: Callable[[_Table, Row], Row | None],
) -> None:
    for row in _read(source, into):
        if (kept := how(into, row)) is not None and into.put(kept, "INSERT OR IGNORE"):
            _count(carried, into, row)


def _keep_missing(into: _Table, row: Row) -> Row | None:
    """A row that the target has not; its identity stays the target's own."""
    if into.name == "kept" and row[0] == identity.NAME:
        return None
    if into.name == "audit":
        return None if into.has_like(row) else (None, *row[1:])
    return (None, *row[1:]) if into.name in OWN_NUMBERS else row


def _keep_waiting(into: _Table, row: Row) -> Row | None:
    """A message that waits; under a number of its own where the target's has another message."""
    if into.value(row, "acked_mono") is not None:
        return None
    there = into.find(row[0])
    if there is None:
        return row
    same = all(
        into.value(there, name) == into.value(row, name)
        for name in ("topic", "made_utc_ms", "payload")
    )
    return None if same or into.has_like(row) else (None, *row[1:])


def _raise_counters(source: Salvage, into: _Table, carried: Carried) -> None:
    for row in _read(source, into):
        name, value = row
        there = into.find(name)
        if name not in OWN_COUNTERS and (there is None or there[1] < value):
            into.put(row, "INSERT OR REPLACE")
            _count(carried, into, row)


def _count(carried: Carried, into: _Table, row: Row) -> None:
    carried.rows[into.name] = carried.rows.get(into.name, 0) + 1
    if into.name == "outbox" and into.value(row, "acked_mono") is None:
        carried.undelivered += 1


def _finish(source: Salvage, target: sqlite3.Connection, carried: Carried) -> Carried:
    for name, highest in source.sequences():
        target.execute(
            "INSERT INTO sqlite_sequence SELECT ?, 0 "
            "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?)",
            (name, name),
        )
        target.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (highest, name)
        )
    carried.unread = dict(source.damaged)
    return carried


def _zero(kind: str) -> int | float | str | bytes:
    """What stands for a value that the source does not have."""
    zeros: dict[str, int | float | str | bytes] = {"INTEGER": 0, "REAL": 0.0, "BLOB": b""}
    return zeros.get(kind.upper(), "")


def _literal(default: Any) -> Any:
    """The value of a column's default as SQLite writes it in the schema."""
    text = str(default)
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    try:
        return int(text)
    except ValueError:
        return float(text) if text.replace(".", "", 1).isdigit() else None
