"""From a disk that fails into memory, and back into the file when it can be written again.

What memory has taken over is memory's: what it let go of meanwhile goes from the file, too. What it
has not taken over stays in the file and waits there; what the broker answered to it meanwhile is
noted (``fate``) and entered when the two join.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.storage.file.opening import NAME, OPENED
from agent.storage.file.transaction import transaction
from agent.storage.rows import Kind

STATES = ("counter", "alarm", "kept")
HISTORY = ("minute", "occurrence")
ALARM_SHARE = 0.5
"""Of the room in memory, for alarm events of a backlog; the rest is for what comes meanwhile."""
BATCH_ROWS = 200
BATCH_PICTURES = 20
ACKED, GONE, UNHEARD = 0, 1, 2

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Seeds:
    """What memory must know of a file that it cannot read: no number and no id comes twice."""

    counters: Rows
    sequences: Rows


def seeds_of(connection: sqlite3.Connection) -> Seeds:
    """Read them; two tables of a few rows."""
    return Seeds(
        connection.execute("SELECT name, value FROM counter").fetchall(),
        connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall(),
    )


def sow(memory: sqlite3.Connection, seeds: Seeds | None) -> None:
    """Begin in memory where a file was left that cannot be read now."""
    with transaction(memory):
        _prepare(memory)
        if seeds is not None:
            memory.executemany("INSERT OR REPLACE INTO counter VALUES (?, ?)", seeds.counters)
            # Exactly where the file stood: the transaction that did not come to its end there is
            # done again here with the same ids, and so is the same rows if it comes to it yet.
            memory.execute("DELETE FROM sqlite_sequence")
            memory.executemany("INSERT INTO sqlite_sequence VALUES (?, ?)", seeds.sequences)


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
            for table in (*STATES, *HISTORY):
                _copy(disk.execute(f"SELECT * FROM {table}"), memory, table)  # noqa: S608
            alarms = disk.execute(
                "SELECT * FROM outbox WHERE id IN (SELECT id FROM (SELECT id, sum(size_bytes) "
                "OVER (ORDER BY acked_mono IS NOT NULL, id) AS bytes FROM outbox WHERE kind = ?) "
                "WHERE bytes <= ?)",
                (Kind.ALARM, ALARM_SHARE * room_bytes),
            )
            _copy(alarms, memory, "outbox")
            _raise_sequences(memory, seeds_of(disk).sequences)
    with transaction(memory):
        _prepare(memory)
        memory.execute(
            "INSERT INTO taken SELECT id, made_mono, acked_mono, unheard, stamp FROM outbox"
        )
        memory.execute("INSERT INTO taken_picture SELECT event_id, made_utc_ms FROM evidence")
        memory.execute("INSERT INTO taken_audit SELECT id FROM audit")
    return _count(disk) - _count(memory)


def _prepare(memory: sqlite3.Connection) -> None:
    """What memory must remember while it stands in for a file: what that has in which state, and
    what became of rows that it alone has."""
    for columns in (
        "taken (id INTEGER PRIMARY KEY, made_mono, acked_mono, unheard, stamp)",
        "taken_picture (event_id PRIMARY KEY, made_utc_ms)",
        "taken_audit (id INTEGER PRIMARY KEY)",
        "fate (id INTEGER PRIMARY KEY, what INTEGER, mono REAL)",
        "forgotten (alarm_id PRIMARY KEY)",
    ):
        memory.execute(f"CREATE TABLE {columns}")


def note_fates(
    memory: sqlite3.Connection, what: int, ids: Sequence[int], mono: float | None = None
) -> None:
    """Remember what became of rows that the file alone has."""
    memory.executemany(
        "INSERT OR REPLACE INTO fate SELECT :id, :what, :mono "
        "WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE id = :id)",
        [{"id": row_id, "what": what, "mono": mono} for row_id in ids],
    )


def note_forgotten(memory: sqlite3.Connection, alarm_ids: Iterable[str]) -> None:
    """Remember alarms that the file is to forget, too."""
    memory.executemany(
        "INSERT OR REPLACE INTO forgotten VALUES (?)", [(alarm_id,) for alarm_id in alarm_ids]
    )


def forget_taken(memory: sqlite3.Connection) -> None:
    """The file is another one than memory was copied from."""
    for table in ("taken", "taken_picture", "taken_audit"):
        memory.execute(f"DELETE FROM {table}")  # noqa: S608


def pending(memory: sqlite3.Connection) -> dict[Kind, int]:
    """Return how many messages wait in memory that no file has."""
    found = memory.execute(
        "SELECT kind, count(*) FROM outbox WHERE acked_mono IS NULL "
        "AND id NOT IN (SELECT id FROM taken) GROUP BY kind"
    )
    return {Kind(kind): int(count) for kind, count in found}


def waiting(connection: sqlite3.Connection) -> dict[Kind, int]:
    """Return how many messages of each kind wait."""
    query = "SELECT kind, count(*) FROM outbox WHERE acked_mono IS NULL GROUP BY kind"
    return {Kind(kind): int(count) for kind, count in connection.execute(query)}


# --- the way back --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Changes:
    """What the file has not, or has otherwise; not ``whole``: there is more of it."""

    whole: bool
    tables: dict[str, Rows]
    gone: Rows
    gone_pictures: Rows
    fates: Rows
    forgotten: Rows
    sequences: Rows = field(default_factory=list)


def changes_of(memory: sqlite3.Connection) -> Changes:
    """Read the next of them, oldest first, with the whole of the states."""

    def found(query: str, *parameters: object) -> Rows:
        return memory.execute(query, parameters).fetchall()

    rows = found(
        "SELECT o.* FROM outbox o LEFT JOIN taken t ON t.id = o.id WHERE t.id IS NULL "
        "OR t.acked_mono IS NOT o.acked_mono OR t.unheard <> o.unheard "
        "OR t.made_mono <> o.made_mono OR t.stamp <> o.stamp ORDER BY o.id LIMIT ?",
        BATCH_ROWS,
    )
    pictures = found(
        "SELECT e.* FROM evidence e LEFT JOIN taken_picture t ON t.event_id = e.event_id "
        "WHERE t.event_id IS NULL OR t.made_utc_ms <> e.made_utc_ms ORDER BY e.rowid LIMIT ?",
        BATCH_PICTURES,
    )
    whole = len(rows) < BATCH_ROWS and len(pictures) < BATCH_PICTURES
    return Changes(
        whole=whole,
        tables={
            "counter": found("SELECT * FROM counter WHERE name NOT IN (?, ?)", NAME, OPENED),
            "alarm": found("SELECT * FROM alarm"),
            "kept": found("SELECT * FROM kept"),
            "audit": found("SELECT * FROM audit WHERE id NOT IN (SELECT id FROM taken_audit)"),
            "evidence": pictures,
            "outbox": rows,
            # bounded, and the file knows what it has: once, with the last batch
            "minute": found("SELECT * FROM minute ORDER BY id") if whole else [],
            "occurrence": found("SELECT * FROM occurrence ORDER BY id") if whole else [],
        },
        gone=found("SELECT id FROM taken EXCEPT SELECT id FROM outbox"),
        gone_pictures=found(
            "SELECT event_id FROM taken_picture EXCEPT SELECT event_id FROM evidence"
        ),
        forgotten=found("SELECT alarm_id FROM forgotten"),
        fates=found("SELECT what, id, mono FROM fate ORDER BY id"),
        sequences=found("SELECT name, seq FROM sqlite_sequence"),
    )


def join(changes: Changes, disk: sqlite3.Connection) -> None:
    """Enter them into the file, in one transaction. The same once more changes nothing."""
    with transaction(disk):
        disk.executemany("DELETE FROM outbox WHERE id = ?", changes.gone)
        disk.executemany("DELETE FROM evidence WHERE event_id = ?", changes.gone_pictures)
        disk.executemany("DELETE FROM alarm WHERE alarm_id = ?", changes.forgotten)
        _enter_fates(disk, changes.fates)
        for table, rows in changes.tables.items():
            if table == "audit":
                _put_audit(disk, rows)
            elif table in HISTORY:
                _put_history(disk, table, rows)
            else:
                _put(disk, table, rows)
        _raise_sequences(disk, changes.sequences)


def joined(changes: Changes, memory: sqlite3.Connection) -> None:
    """Remember that the file has them."""
    with transaction(memory):
        memory.executemany("DELETE FROM taken WHERE id = ?", changes.gone)
        memory.executemany("DELETE FROM taken_picture WHERE event_id = ?", changes.gone_pictures)
        memory.executemany(
            "DELETE FROM fate WHERE what = ? AND id = ? AND mono IS ?", changes.fates
        )
        names = [row[1] for row in memory.execute("PRAGMA table_info(outbox)")]
        at = [names.index(n) for n in ("id", "made_mono", "acked_mono", "unheard", "stamp")]
        memory.executemany(
            "INSERT OR REPLACE INTO taken VALUES (?, ?, ?, ?, ?)",
            [tuple(row[i] for i in at) for row in changes.tables["outbox"]],
        )
        memory.executemany(
            "INSERT OR REPLACE INTO taken_picture VALUES (?, ?)",
            [(row[0], row[4]) for row in changes.tables["evidence"]],
        )
        memory.executemany(
            "INSERT OR REPLACE INTO taken_audit VALUES (?)",
            [row[:1] for row in changes.tables["audit"]],
        )


def carry_over(left: sqlite3.Connection, disk: sqlite3.Connection) -> None:
    """Copy the whole of a file that has lost its place into the one that lies there now."""
    with transaction(disk):
        for table in ("alarm", "kept", "audit", "evidence", "outbox"):
            _copy(left.execute(f"SELECT * FROM {table}"), disk, table)  # noqa: S608
        for table in HISTORY:
            rows = left.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()  # noqa: S608
            _put_history(disk, table, rows)
        own = "SELECT * FROM counter WHERE name NOT IN (?, ?)"
        _copy(left.execute(own, (NAME, OPENED)), disk, "counter")
        _raise_sequences(disk, seeds_of(left).sequences)


def _enter_fates(disk: sqlite3.Connection, fates: Rows) -> None:
    for what, row_id, mono in fates:
        if what == ACKED:
            done = (row_id, Kind.EXPLANATION)
            disk.execute("DELETE FROM outbox WHERE id = ? AND kind = ?", done)
            disk.execute("UPDATE outbox SET acked_mono = ? WHERE id = ?", (mono, row_id))
        elif what == GONE:
            disk.execute("DELETE FROM outbox WHERE id = ?", (row_id,))
        else:
            disk.execute("UPDATE outbox SET unheard = 1 WHERE id = ?", (row_id,))


def _raise_sequences(connection: sqlite3.Connection, sequences: Rows) -> None:
    for name, seq in sequences:
        connection.execute(
            "INSERT INTO sqlite_sequence SELECT ?, 0 "
            "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?)",
            (name, name),
        )
        connection.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (seq, name)
        )


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM outbox").fetchone()[0])


def _copy(rows: sqlite3.Cursor, target: sqlite3.Connection, table: str) -> None:
    while some := rows.fetchmany(100):
        _put(target, table, some)


def _put_audit(disk: sqlite3.Connection, rows: Rows) -> None:
    """Add rows of the audit. Where memory did not know the file, its numbers are taken there."""
    for row in rows:
        disk.execute(
            "INSERT INTO audit SELECT "
            "CASE WHEN EXISTS (SELECT 1 FROM audit WHERE id = ?1) THEN NULL ELSE ?1 END, "
            "?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE NOT EXISTS (SELECT 1 FROM audit "
            "WHERE command_id = ?4 AND received_utc_ms = ?2 AND command = ?3 AND user = ?5 "
            "AND arguments = ?6 AND outcome = ?7 AND detail = ?8 AND via = ?9)",
            row,
        )


def _put_history(disk: sqlite3.Connection, table: str, rows: Rows) -> None:
    """Add minutes that the file has not, and what became of occurrences; ids are the file's own."""
    if table == "minute":
        query = "INSERT OR IGNORE INTO minute VALUES (NULL, ?2, ?3, ?4, ?5, ?6, ?7)"
    else:
        query = (
            "INSERT INTO occurrence VALUES (NULL, ?2, ?3, ?4, ?5, ?6, ?7, ?8) "
            "ON CONFLICT (event_id) DO UPDATE SET utc_ms = excluded.utc_ms, mono = excluded.mono, "
            "boot = excluded.boot, lasts = excluded.lasts, duration_s = excluded.duration_s, "
            "record = excluded.record"
        )
    disk.executemany(query, rows)


def _put(target: sqlite3.Connection, table: str, rows: Rows) -> None:
    """Put whole rows into a table of ours."""
    if rows:
        marks = ", ".join("?" * len(rows[0]))
        target.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)  # noqa: S608
