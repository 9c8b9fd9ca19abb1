"""Every row of a database that can be read, however much of the file cannot.

A damaged page costs the rows on it. Ranges of row numbers around one are halved until those rows
alone are left; what lies beyond is reached through the tree's other pages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

TABLES = ("counter", "alarm", "kept", "audit", "evidence", "outbox", "minute", "occurrence")
KEYED = frozenset({"counter", "alarm", "kept"})
"""WITHOUT ROWID: small, read from both ends."""
FAILURES_MAX = 4000
"""Ranges of one table that cannot be read, before it is given up: its root may be gone."""
HIGHEST = (1 << 63) - 1

Row = tuple[Any, ...]


@dataclass(slots=True)
class Salvage:
    """Reads tables of ``connection``. ``damaged``: those of which something could not be read, with
    the reason."""

    connection: sqlite3.Connection
    damaged: dict[str, str] = field(default_factory=dict)

    def columns(self, table: str) -> tuple[str, ...]:
        """The names of a table's columns; none where it is not there or not known any more."""
        try:
            found = self.connection.execute(f"PRAGMA table_info({table})").fetchall()
        except sqlite3.Error as error:
            self.damaged[table] = str(error)
            return ()
        return tuple(str(row[1]) for row in found)

    def rows(self, table: str) -> Iterator[Row]:
        """Yield every row that can be read, with all its columns in their order."""
        if not self.columns(table):
            return
        yield from (self._keyed if table in KEYED else self._numbered)(table)

    def sequences(self) -> list[Row]:
        """The highest number that each table ever gave."""
        try:
            return self.connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
        except sqlite3.Error:
            return []

    def _keyed(self, table: str) -> Iterator[Row]:
        key = self.columns(table)[0]
        seen = set()
        for order in ("", "DESC"):
            try:
                for row in self.connection.execute(
                    f"SELECT * FROM {table} ORDER BY {key} {order}"  # noqa: S608
                ):
                    if row[0] not in seen:
                        seen.add(row[0])
                        yield row
            except (sqlite3.Error, UnicodeDecodeError) as error:
                self.damaged[table] = str(error)
            else:
                return

    def _numbered(self, table: str) -> Iterator[Row]:
        low, high = self._bounds(table)
        failures = 0
        ranges = [(low, high)]
        while ranges:
            low, high = ranges.pop()
            try:
                cursor = self.connection.execute(
                    f"SELECT rowid, * FROM {table} WHERE rowid BETWEEN ? AND ? "  # noqa: S608
                    "ORDER BY rowid",
                    (low, high),
                )
                for number, *values in cursor:
                    low = number + 1
                    yield tuple(values)
            except (sqlite3.Error, UnicodeDecodeError) as error:
                self.damaged[table] = str(error)
                failures += 1
                if failures > FAILURES_MAX or low >= high:
                    continue
                middle = low + (high - low) // 2
                ranges += [(middle + 1, high), (low, middle)]

    def _bounds(self, table: str) -> tuple[int, int]:
        """The first and the last number, as far as they can be read."""
        bounds = [0, HIGHEST]
        for place, order in enumerate(("", "DESC")):
            try:
                found = self.connection.execute(
                    f"SELECT rowid FROM {table} ORDER BY rowid {order} LIMIT 1"  # noqa: S608
                ).fetchone()
            except sqlite3.Error as error:
                self.damaged[table] = str(error)
            else:
                bounds[place] = found[0] if found else 0
        return bounds[0], bounds[1]
