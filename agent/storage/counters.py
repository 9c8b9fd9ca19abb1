"""Whole numbers that outlive the process: each change is on the disk before it is used."""

from __future__ import annotations

import sqlite3

from agent.storage.database import Database


class Counters:
    """Named counters; one that was never written is 0."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> int:
        """Return the value."""
        found = self._database.rows("SELECT value FROM counter WHERE name = ?", (name,))
        return int(found[0][0]) if found else 0

    def set(self, name: str, value: int) -> None:
        """Write a value."""
        self._database.run(
            lambda connection: connection.execute(
                "INSERT INTO counter VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )
        )

    def take(self, name: str, modulo: int) -> int:
        """Return the present value and write the next one, in [0, ``modulo``), before.

        The values of one name follow each other over any number of restarts: 0, 1, 2 ...; a kill
        in between may leave one out and gives none twice in a row.
        """

        def step(_connection: sqlite3.Connection) -> int:
            value = self.get(name) % modulo
            self.set(name, (value + 1) % modulo)
            return value

        return self._database.run(step)
