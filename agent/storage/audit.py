"""What operators asked for and what it came to: the newest ``KEPT`` commands."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, dataclass

from agent.storage.database import Database

KEPT = 10_000


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One command. ``arguments`` is JSON as it was received, shortened."""

    received_utc_ms: int
    command: str
    command_id: str
    user: str
    arguments: str
    outcome: str
    detail: str


class Audit:
    """Rows are added and never changed; beyond ``KEPT`` the oldest go."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: AuditRow) -> None:
        def write(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(
                "INSERT INTO audit VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", astuple(row)
            )
            newest = cursor.lastrowid or 0
            connection.execute("DELETE FROM audit WHERE id <= ?", (newest - KEPT,))

        self._database.run(write)

    def carried_out(self, command_id: str) -> bool:
        """Whether a command with this id was carried out before."""
        query = "SELECT 1 FROM audit WHERE command_id = ? AND outcome = 'done' LIMIT 1"
        return bool(self._database.rows(query, (command_id,)))
