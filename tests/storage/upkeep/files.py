"""The database of schema 5 with 1,000 events that nobody had yet, and a schema after the newest.

``schema-5.db.xz``: an agent's store without a broker: 1,040 alarm events of which the broker took
the first 40, four pictures behind them, two commands in the audit, a minute of history.
"""

from __future__ import annotations

import lzma
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.storage.file import migrations, opening, state_dir
from agent.storage.file.state_dir import FILE
from agent.storage.rows import Kind
from agent.storage.store import Store
from agent.storage.upkeep import held, look
from agent.telemetry import NullTelemetry

OF_5 = Path(__file__).parents[1] / "files" / "schema-5.db.xz"
UNDELIVERED = 1000
NEXT: tuple[str, ...] = (
    # what a later version could do: another table, a column more, a column gone, rows rewritten
    "CREATE TABLE later (id INTEGER PRIMARY KEY, what TEXT NOT NULL)",
    "ALTER TABLE outbox ADD COLUMN priority INTEGER NOT NULL DEFAULT 3",
    "ALTER TABLE audit DROP COLUMN via",
    "UPDATE outbox SET priority = kind",
)


def put_file_of_5(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_bytes(lzma.decompress(OF_5.read_bytes()))
    return folder / FILE


@contextmanager
def the_next_version(patch: pytest.MonkeyPatch) -> Iterator[int]:
    """For as long as this lasts, the program is one with a schema more."""
    steps = (*migrations.STEPS, NEXT)
    with patch.context() as now:
        now.setattr(opening, "STEPS", steps)
        for module in (state_dir, held, look):
            now.setattr(module, "VERSION", len(steps))
        yield len(steps)


def waiting_events(path: Path) -> list[bytes]:
    """The payloads that wait, in their order, as a store of this version reads them."""
    store = Store(path.parent, NullTelemetry())
    try:
        rows = store.spool.page(Kind.ALARM, 0, store.spool.last_id(), float("-inf"), 10_000)
        return [row.payload for row in rows]
    finally:
        assert store.close()


def rows_of(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()
