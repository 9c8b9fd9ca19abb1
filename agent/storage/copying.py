"""From a disk that fails into memory, and back into the file when it can be written again."""

from __future__ import annotations

import sqlite3

STATES = ("counter", "alarm")


def last_id(connection: sqlite3.Connection) -> int:
    """Return the newest id that the outbox ever gave."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
    return int(row[0]) if row is not None else 0


def copy_out(disk: sqlite3.Connection, memory: sqlite3.Connection, whole_up_to_bytes: int) -> int:
    """Copy what can be read into memory; return the newest id of the outbox on the disk."""
    pages = int(disk.execute("PRAGMA page_count").fetchone()[0])
    size = int(disk.execute("PRAGMA page_size").fetchone()[0])
    last = last_id(disk)
    if pages * size <= whole_up_to_bytes:
        disk.backup(memory)
        return last
    memory.execute("BEGIN IMMEDIATE")
    for table in STATES:
        _copy(disk, memory, table)
    memory.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'outbox'", (last,))
    memory.execute("COMMIT")
    return last


def copy_back(memory: sqlite3.Connection, disk: sqlite3.Connection, last: int) -> None:
    """Join what memory holds to the file, in one transaction. ``last`` is from ``copy_out``."""
    disk.execute("BEGIN IMMEDIATE")
    try:
        for table in (*STATES, "evidence"):
            _copy(memory, disk, table)
        _copy(memory, disk, "outbox", last)
        known = disk.execute("SELECT coalesce(max(id), 0) FROM audit").fetchone()[0]
        _copy(memory, disk, "audit", known)
        disk.execute("COMMIT")
    except BaseException:
        if disk.in_transaction:
            disk.execute("ROLLBACK")
        raise


def _copy(
    source: sqlite3.Connection, target: sqlite3.Connection, table: str, after: int | None = None
) -> None:
    """Copy a table of ours, or its rows with an id above ``after``."""
    query = f"SELECT * FROM {table}"  # noqa: S608
    cursor = source.execute(query if after is None else f"{query} WHERE id > {after:d}")
    marks = ", ".join("?" * len(cursor.description))
    statement = f"INSERT OR REPLACE INTO {table} VALUES ({marks})"  # noqa: S608
    while rows := cursor.fetchmany(100):
        target.executemany(statement, rows)
