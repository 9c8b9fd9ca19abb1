"""From a disk that fails into memory, and back into the file when it can be written again.

What memory has taken over is memory's: what it let go of meanwhile goes from the file, too. What it
has not taken over stays in the file and waits there.
"""

from __future__ import annotations

import sqlite3

from agent.storage.rows import Kind
from agent.storage.transaction import transaction

STATES = ("counter", "alarm", "kept")
ALARM_SHARE = 0.5
"""Of the room in memory, for alarm events of a backlog; the rest is for what comes meanwhile."""


def copy_out(disk: sqlite3.Connection, memory: sqlite3.Connection, room_bytes: int) -> int:
    """Copy what can be read, or of a file larger than ``room_bytes`` the states and the alarm
    events, those that wait before those that the broker has, oldest first.

    Return the number of messages that stay in the file alone.
    """
    pages = int(disk.execute("PRAGMA page_count").fetchone()[0])
    size = int(disk.execute("PRAGMA page_size").fetchone()[0])
    if pages * size <= room_bytes:
        disk.backup(memory)
    else:
        with transaction(memory):
            for table in STATES:
                _copy(disk.execute(f"SELECT * FROM {table}"), memory, table)  # noqa: S608
            alarms = disk.execute(
                "SELECT * FROM outbox WHERE id IN (SELECT id FROM (SELECT id, sum(size_bytes) "
                "OVER (ORDER BY acked_mono IS NOT NULL, id) AS bytes FROM outbox WHERE kind = ?) "
                "WHERE bytes <= ?)",
                (Kind.ALARM, ALARM_SHARE * room_bytes),
            )
            _copy(alarms, memory, "outbox")
            row = disk.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
            if row is not None:  # no id comes twice
                memory.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'outbox'", row)
    memory.execute("CREATE TEMP TABLE taken AS SELECT id FROM outbox")
    return _count(disk) - _count(memory)


def copy_back(memory: sqlite3.Connection, disk: sqlite3.Connection) -> None:
    """Join what memory holds to the file, in one transaction of the file."""
    memory.execute("CREATE TEMP TABLE IF NOT EXISTS taken (id INTEGER)")
    gone = memory.execute("SELECT id FROM taken EXCEPT SELECT id FROM outbox")
    with transaction(disk):
        disk.executemany("DELETE FROM outbox WHERE id = ?", gone)
        for table in (*STATES, "evidence", "outbox"):
            _copy(memory.execute(f"SELECT * FROM {table}"), disk, table)  # noqa: S608
        known = disk.execute("SELECT coalesce(max(id), 0) FROM audit").fetchone()
        _copy(memory.execute("SELECT * FROM audit WHERE id > ?", known), disk, "audit")


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM outbox").fetchone()[0])


def _copy(rows: sqlite3.Cursor, target: sqlite3.Connection, table: str) -> None:
    """Put whole rows into a table of ours."""
    marks = ", ".join("?" * len(rows.description))
    statement = f"INSERT OR REPLACE INTO {table} VALUES ({marks})"  # noqa: S608
    while some := rows.fetchmany(100):
        target.executemany(statement, some)
