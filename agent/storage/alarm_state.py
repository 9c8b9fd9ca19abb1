"""The state of the alarms, one row an alarm, so that a transition writes what it changed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from typing import Any

from agent.storage.counters import Counters
from agent.storage.database import Database
from agent.storage.file.copying import note_forgotten

ALARMS = "alarms"
PREFIX = "alarms."


class AlarmState:
    """Keeps what ``AlarmManager.export`` gives: whole numbers, and a list of alarms."""

    def __init__(self, database: Database, counters: Counters) -> None:
        self._database = database
        self._counters = counters

    def save(self, exported: Mapping[str, Any]) -> None:
        """Write the counts and the alarms that are given; others keep the state they had."""

        def write(connection: sqlite3.Connection) -> None:
            for name, value in exported.items():
                if name != ALARMS:
                    self._counters.set(PREFIX + name, int(value))
            connection.executemany(
                "INSERT OR REPLACE INTO alarm VALUES (?, ?)",
                [
                    (alarm["record"]["alarm_id"], json.dumps(alarm, separators=(",", ":")))
                    for alarm in exported[ALARMS]
                ],
            )

        self._database.run(write)

    def forget(self, alarm_ids: Collection[str]) -> None:
        """Forget alarms of what is no longer configured."""

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "DELETE FROM alarm WHERE alarm_id = ?", [(alarm_id,) for alarm_id in alarm_ids]
            )
            if self._database.stands_in:
                note_forgotten(connection, alarm_ids)

        self._database.run(work)

    def load(self) -> dict[str, Any] | None:
        """Return everything that was saved, in the form it was given in; None: nothing ever was."""
        query = "SELECT name, value FROM counter WHERE name GLOB ?"
        counts = self._database.rows(query, (PREFIX + "*",))
        if not counts:
            return None
        whole: dict[str, Any] = {name.removeprefix(PREFIX): value for name, value in counts}
        states = self._database.rows("SELECT state FROM alarm")
        return whole | {ALARMS: [json.loads(state) for (state,) in states]}
