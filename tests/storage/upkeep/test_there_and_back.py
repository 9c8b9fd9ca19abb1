"""Forward to the next version and back: nothing that waited is lost on the way."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.storage.errors import StateDirError, StorageError
from agent.storage.file.backup import SCHEMAS_KEPT, backup_name, schema_backups
from agent.storage.file.migrations import VERSION
from agent.storage.file.state_dir import FILE, file_version
from agent.storage.rows import Kind, NewRow
from agent.storage.store import Store
from agent.storage.upkeep.restore import newest_backup, restore
from agent.telemetry import NullTelemetry
from tests.storage.upkeep.files import (
    UNDELIVERED,
    put_file_of_5,
    rows_of,
    the_next_version,
    waiting_events,
)

FILES = Path(__file__).parents[1] / "files"


def event(number: int) -> NewRow:
    payload = b'{"event_id":"new-%d"}' % number
    return NewRow(Kind.ALARM, "event_alarm", "B/event/alarm", "application/json", payload)


def use_it_as_the_next_version(folder: Path) -> list[int]:
    """The later version delivers ten events and makes five; return the numbers of those ten."""
    store = Store(folder, NullTelemetry())
    rows = store.spool.page(Kind.ALARM, 0, store.spool.last_id(), float("-inf"), 10)
    store.spool.settle([row.id for row in rows], [], [])
    for number in range(5):
        # as a later version would: it names its columns
        store.database.run(
            lambda connection, n=number: connection.execute(
                "INSERT INTO outbox SELECT NULL, kind, route, topic, content_type, '', size_bytes, "
                "made_utc_ms, made_mono, boot, 0, NULL, 0, ?, stamp, 9 FROM outbox LIMIT 1",
                (event(n).payload,),
            )
        )
    store.counters.take("bdseq", 256)
    assert store.close()
    return [row.id for row in rows]


def test_to_the_next_version_and_back_with_1000_events_that_wait(
    tmp_path: Path, monkeypatch
) -> None:
    path = put_file_of_5(tmp_path)
    before = waiting_events(path)
    assert len(before) == UNDELIVERED
    with the_next_version(monkeypatch) as version:
        delivered = use_it_as_the_next_version(tmp_path)
        assert file_version(path) == version
    with pytest.raises(StateDirError, match="pitwatch state restore"):
        Store(tmp_path, NullTelemetry())

    done = restore(newest_backup(path), path)

    pictures = 4
    waits = UNDELIVERED - 10 + 5 + pictures
    assert (done.schema, done.carried.undelivered) == (VERSION, waits)
    assert done.kept is not None
    assert file_version(done.kept) == VERSION + 1
    assert waiting_events(path) == before[10:] + [event(n).payload for n in range(5)]
    acked = rows_of(path, "SELECT id FROM outbox WHERE kind = 0 AND acked_mono IS NOT NULL")
    assert {row[0] for row in acked} >= set(delivered)
    asked = rows_of(path, "SELECT command_id, via FROM audit ORDER BY id")
    assert asked == [("panel-1", "mqtt"), ("panel-2", "page 10.0.0.9")]
    assert rows_of(path, "SELECT value FROM counter WHERE name = 'bdseq'") == [(3,)]


def test_the_backup_is_the_file_as_it_was_and_only_the_newest_ones_stay(
    tmp_path: Path, monkeypatch
) -> None:
    path = put_file_of_5(tmp_path)
    before = waiting_events(path)
    for number in range(1, 4):
        shutil.copy(path, backup_name(path, number))
    with the_next_version(monkeypatch):
        Store(tmp_path, NullTelemetry()).close()
    assert schema_backups(path)[-1] == backup_name(path, VERSION)
    assert len(schema_backups(path)) == SCHEMAS_KEPT
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(backup_name(path, VERSION), copy / FILE)
    assert waiting_events(copy / FILE) == before


@pytest.mark.parametrize("schema", [2, 4])
def test_files_of_earlier_versions_get_a_backup_on_their_way_here(
    tmp_path: Path, schema: int
) -> None:
    path = tmp_path / FILE
    shutil.copy(FILES / f"schema-{schema}.db", path)
    before = waiting_events(path)
    backup = backup_name(path, schema)
    assert file_version(backup) == schema
    with pytest.raises(StorageError, match="no such file"):
        restore(tmp_path / "none.backup", path)
    assert restore(backup, path).schema == schema
    assert file_version(path) == schema
    assert waiting_events(path) == before


def test_a_file_is_not_migrated_where_its_backup_finds_no_room(tmp_path: Path, monkeypatch) -> None:
    """The agent goes on in memory and tries again; the file stays what it was."""
    path = put_file_of_5(tmp_path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with the_next_version(monkeypatch), monkeypatch.context() as now:
        now.setattr("agent.storage.file.backup.copy_pages", full)
        store = Store(tmp_path, NullTelemetry())
        assert "No space left" in store.status().degraded
        store.close(0.5)
    assert file_version(path) == VERSION
    assert list(tmp_path.glob("*.part")) == []
    assert rows_of(path, "SELECT count(*) FROM outbox WHERE acked_mono IS NULL")[0][0] == 1004
    assert path.read_bytes()[:100] == before[:100]
