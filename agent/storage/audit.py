"""What operators asked for and what it came to: the newest ``KEPT`` commands."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, dataclass

from agent.storage.database import Database

KEPT = 10_000
REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One command. ``arguments`` is JSON as it was received, shortened; ``via``: from where."""

    received_utc_ms: int
    command: str
    command_id: str
    user: str
    arguments: str
    outcome: str
    detail: str
    via: str = ""


class Audit:
    """Rows are added and never changed; beyond ``KEPT`` the oldest go."""

    def __init__(self, database: Database) -> None:
        self._database = database
        query = "SELECT command_id FROM audit WHERE outcome = 'done' ORDER BY id DESC LIMIT ?"
        newest = [str(row[0]) for row in database.rows(query, (REMEMBERED,))]
        # A disk that hangs cannot be asked; commands come again within their age of a minute.
        self._done = dict.fromkeys(reversed(newest))

    def add(self, row: AuditRow) -> None:
        def write(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(
                "INSERT INTO audit VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(row)
            )
            newest = cursor.lastrowid or 0
            connection.execute("DELETE FROM audit WHERE id <= ?", (newest - KEPT,))
            self._database.after_commit(lambda: self._remember(row))

        self._database.run(write)

    def _remember(self, row: AuditRow) -> None:
        if row.outcome == "done":
            self._done[row.command_id] = None
            if len(self._done) > REMEMBERED:
                del self._done[next(iter(self._done))]

    def carried_out(self, command_id: str) -> bool:
        """Whether a command with this id was carried out before."""
        if command_id in self._done:
            return True
        query = "SELECT 1 FROM audit WHERE command_id = ? AND outcome = 'done' LIMIT 1"
        return bool(self._database.rows(query, (command_id,)))
