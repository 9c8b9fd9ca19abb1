"""What a restore refuses, what it keeps, and what it puts in the place of a file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent.storage.errors import StorageError
from agent.storage.file.backup import CopyError, copy_whole
from agent.storage.file.state_dir import FILE
from agent.storage.store import Store
from agent.storage.upkeep.held import held
from agent.storage.upkeep.look import look_at, set_aside_in
from agent.storage.upkeep.restore import restore
from agent.telemetry import NullTelemetry
from tests.storage.upkeep.files import UNDELIVERED, put_file_of_5, rows_of, waiting_events


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    return put_file_of_5(tmp_path / "backups").rename(tmp_path / "backups" / "whole.db")


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def test_into_an_empty_place(tmp_path: Path, backup: Path) -> None:
    path = tmp_path / "state" / FILE
    done = restore(backup, path)
    assert (done.kept, done.unreadable) == (None, "")
    assert len(waiting_events(path)) == UNDELIVERED
    assert names(backup.parent) == [backup.name]


@pytest.mark.parametrize("share", [0.0, 0.003, 0.4, 0.99])
def test_a_backup_that_is_cut_short_is_refused_and_nothing_changes(
    tmp_path: Path, backup: Path, share: float
) -> None:
    path = put_file_of_5(tmp_path / "state")
    before = names(path.parent), path.read_bytes()
    os.truncate(backup, int(backup.stat().st_size * share))
    with pytest.raises(StorageError) as caught:
        restore(backup, path)
    assert str(backup) in str(caught.value)
    assert (names(path.parent), path.read_bytes()) == before


def test_while_an_agent_runs_it_is_refused(tmp_path: Path, backup: Path) -> None:
    store = Store(tmp_path / "state", NullTelemetry())
    try:
        with pytest.raises(StorageError, match="in use by a running agent"):
            restore(backup, tmp_path / "state" / FILE)
    finally:
        assert store.close()
    assert look_at(tmp_path / "state" / FILE).waiting == {}
    assert set_aside_in(tmp_path / "state") == []


def test_no_agent_can_begin_while_a_command_holds_the_file(tmp_path: Path) -> None:
    path = put_file_of_5(tmp_path)
    code = (
        "import sys; from pathlib import Path; from agent.storage.store import Store; "
        "from agent.telemetry import NullTelemetry; Store(Path(sys.argv[1]), NullTelemetry())"
    )
    with held(path):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], check=False, capture_output=True, text=True
        )
    assert "in use by another process" in done.stderr


def test_a_damaged_present_file_is_kept_and_what_it_has_is_carried_over(
    tmp_path: Path, backup: Path
) -> None:
    path = put_file_of_5(tmp_path / "state")
    content = bytearray(path.read_bytes())
    content[: 4096 * 3] = b"\0" * (4096 * 3)
    path.write_bytes(content)
    done = restore(backup, path)
    assert "cannot be read" in done.unreadable
    assert done.kept is not None
    assert done.kept.read_bytes() == bytes(content)
    assert ".corrupt-" in done.kept.name
    assert len(waiting_events(path)) == UNDELIVERED


def test_as_it_was_takes_the_states_of_the_backup_and_keeps_what_waits(
    tmp_path: Path, backup: Path
) -> None:
    path = put_file_of_5(tmp_path / "state")
    store = Store(path.parent, NullTelemetry())
    store.kept.put("running", {"lanes": ["changed"]}, lambda: None)
    store.counters.take("bdseq", 256)
    assert store.close()
    copy = Path(shutil.copy(path, tmp_path / "copy.db"))
    restore(backup, path, as_it_was=True)
    running = "SELECT state FROM kept WHERE name = 'running'"
    assert rows_of(path, running) == [('{"lanes":[]}',)]
    restore(backup, copy)
    assert rows_of(copy, running) == [('{"lanes":["changed"]}',)]
    for file in (path, copy):
        assert rows_of(file, "SELECT value FROM counter WHERE name = 'bdseq'") == [(3,)]
        assert look_at(file).waiting == {"alarm": UNDELIVERED, "evidence": 4}


def test_a_disk_that_is_full_in_the_middle_leaves_the_folder_as_it_was(
    tmp_path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_file_of_5(tmp_path / "state")
    before = names(path.parent)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    for where in ("copy_pages", "bring_up", "sync"):
        with monkeypatch.context() as now:
            now.setattr(f"agent.storage.upkeep.restore.{where}", full)
            with pytest.raises(StorageError, match="full"):
                restore(backup, path)
        assert names(path.parent) == before
    assert len(waiting_events(path)) == UNDELIVERED


def test_too_little_room_is_said_before_anything_is_written(
    tmp_path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(StorageError, match="0 MiB are free"):
        restore(backup, tmp_path / "state" / FILE)
    assert names(tmp_path / "state") == []


def test_another_users_file_is_named_with_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_file_of_5(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StorageError, match=r"belongs to user .* as root"):
        look_at(path)


def test_a_copy_never_takes_the_place_of_a_file(tmp_path: Path) -> None:
    path = put_file_of_5(tmp_path)
    there = tmp_path / "there.db"
    there.write_bytes(b"precious")
    with held(path) as connection, pytest.raises(CopyError, match="is there already"):
        copy_whole(connection, there)
    assert there.read_bytes() == b"precious"
    assert names(tmp_path) == [FILE, "there.db"]
