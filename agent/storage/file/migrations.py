"""The schema, step by step: step n takes a file from ``user_version`` n to n + 1.

A step that was released never changes; what the schema needs next is one more step. Each runs in
one transaction with the rise of its number, so that a kill in between costs nothing.
"""

from __future__ import annotations

import sqlite3

from agent.storage.file.transaction import transaction

STEPS: tuple[tuple[str, ...], ...] = (
    (
        # numbers that must never start again: bdSeq, counts of the alarm manager, marks
        "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        # one row an alarm, as JSON: only those that changed are written
        "CREATE TABLE alarm (alarm_id TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID",
        # messages in the order in which they were made; AUTOINCREMENT: no number comes twice
        """CREATE TABLE outbox (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            kind INTEGER NOT NULL,
            route TEXT NOT NULL,
            topic TEXT NOT NULL,
            content_type TEXT NOT NULL,
            evidence_id TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            made_utc_ms INTEGER NOT NULL,
            made_mono REAL NOT NULL,
            boot TEXT NOT NULL,
            unheard INTEGER NOT NULL,
            acked_mono REAL,
            packed INTEGER NOT NULL,
            payload BLOB NOT NULL
        )""",
        "CREATE INDEX outbox_kind ON outbox (kind, id)",
        # pictures behind alarms: immutable, kept longer than their message
        """CREATE TABLE evidence (
            event_id TEXT PRIMARY KEY,
            topic TEXT NOT NULL,
            content_type TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            made_utc_ms INTEGER NOT NULL,
            data BLOB NOT NULL
        )""",
        # what operators asked for, and what it came to
        """CREATE TABLE audit (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            received_utc_ms INTEGER NOT NULL,
            command TEXT NOT NULL,
            command_id TEXT NOT NULL,
            user TEXT NOT NULL,
            arguments TEXT NOT NULL,
            outcome TEXT NOT NULL,
            detail TEXT NOT NULL
        )""",
        "CREATE INDEX audit_command ON audit (command_id)",
    ),
    (
        # letting go of what is old must not read a day of messages: every few seconds it would
        "CREATE INDEX outbox_acked ON outbox (acked_mono) WHERE acked_mono IS NOT NULL",
        "CREATE INDEX outbox_waiting ON outbox (kind, unheard, made_mono) WHERE acked_mono IS NULL",
    ),
    (
        # whether made_utc_ms is to be believed (``agent.storage.ages``); of older rows it is not
        "ALTER TABLE outbox ADD COLUMN stamp INTEGER NOT NULL DEFAULT 0",
    ),
    (
        # small objects by name, as JSON: what runs on the line
        "CREATE TABLE kept (name TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID",
    ),
    (
        # a minute of a lane a row (``agent.storage.history``); the unique key finds those of a lane
        """CREATE TABLE minute (
            id INTEGER PRIMARY KEY,
            lane TEXT NOT NULL,
            utc_ms INTEGER NOT NULL,
            mono REAL NOT NULL,
            boot TEXT NOT NULL,
            seconds REAL NOT NULL,
            figures TEXT NOT NULL,
            UNIQUE (lane, boot, mono)
        )""",
        # an occurrence of an alarm a row; mono: NULL where another run of the computer saw it begin
        """CREATE TABLE occurrence (
            id INTEGER PRIMARY KEY,
            event_id TEXT NOT NULL UNIQUE,
            utc_ms INTEGER NOT NULL,
            mono REAL,
            boot TEXT NOT NULL,
            lasts INTEGER NOT NULL,
            duration_s REAL,
            record TEXT NOT NULL
        )""",
        # from where an operator asked: mqtt, sparkplug, or the page and an address
        "ALTER TABLE audit ADD COLUMN via TEXT NOT NULL DEFAULT ''",
    ),
)
VERSION = len(STEPS)


def version_of(connection: sqlite3.Connection) -> int:
    """Return the schema version of a file; 0 for a new one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, steps: tuple[tuple[str, ...], ...] = STEPS) -> int:
    """Bring a file up to the newest version; return the version that it had.

    ``connection`` is in autocommit mode. Raises ``sqlite3.Error``; the step is then undone.
    """
    before = version_of(connection)
    for number, statements in enumerate(steps[before:], before + 1):
        with transaction(connection):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
    return before
