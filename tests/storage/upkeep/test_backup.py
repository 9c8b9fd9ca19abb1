"""A copy of the file while the agent uses it: what is written meanwhile is in it, too."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.storage.file import backup
from agent.storage.file.backup import CopyError
from agent.storage.file.state_dir import FILE
from agent.storage.rows import Kind, NewRow
from agent.storage.store import Store
from agent.storage.upkeep.look import look_at
from agent.telemetry import NullTelemetry
from tests.storage.upkeep.files import UNDELIVERED, put_file_of_5

EVENT = NewRow(Kind.ALARM, "event_alarm", "B/event/alarm", "application/json", b"{}")


def test_while_it_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_file_of_5(tmp_path)
    monkeypatch.setattr(backup, "PAGES", 8)
    store = Store(tmp_path, NullTelemetry())
    added = 0
    ended = threading.Event()

    def write() -> None:
        nonlocal added
        while not ended.wait(0.005):
            store.spool.add(EVENT)
            added += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        size = store.database.back_up(tmp_path / "copy.db")
    finally:
        ended.set()
        writer.join()
    assert store.status().degraded == ""
    assert store.close()
    assert size == (tmp_path / "copy.db").stat().st_size
    copied = look_at(tmp_path / "copy.db").waiting["alarm"]
    assert UNDELIVERED <= copied <= UNDELIVERED + added
    assert look_at(tmp_path / FILE).waiting["alarm"] == UNDELIVERED + added


def test_what_it_refuses(tmp_path: Path) -> None:
    with pytest.raises(CopyError, match="state_dir is not set"):
        Store(None, NullTelemetry()).database.back_up(tmp_path / "copy.db")
    store = Store(tmp_path / "state", NullTelemetry())
    try:
        (tmp_path / "there.db").write_bytes(b"precious")
        with pytest.raises(CopyError, match="is there already"):
            store.database.back_up(tmp_path / "there.db")
        with pytest.raises(OSError, match="No such file"):
            store.database.back_up(tmp_path / "no" / "folder.db")
        assert store.status().degraded == ""
    finally:
        assert store.close()


def test_a_disk_that_is_full_in_the_middle_costs_the_copy_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file_of_5(tmp_path)
    store = Store(tmp_path, NullTelemetry())

    def full(_part: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "finish", full)
    with pytest.raises(OSError, match="No space left"):
        store.database.back_up(tmp_path / "copy.db")
    assert store.status().degraded == ""
    store.spool.add(EVENT)
    assert store.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == [FILE]


def test_a_stop_does_not_wait_for_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_file_of_5(tmp_path)
    monkeypatch.setattr(backup, "PAGES", 8)
    store = Store(tmp_path, NullTelemetry())
    began = threading.Event()
    failed: list[str] = []

    def begin(_connection: object) -> None:
        began.set()
        store.database._disk._closing.wait(30)

    def copy() -> None:
        try:
            store.database.back_up(tmp_path / "copy.db")
        except CopyError as error:
            failed.append(str(error))

    copying = threading.Thread(target=copy)
    copying.start()
    store.database.post(begin)
    began.wait(30)
    assert store.close(30.0)
    copying.join(30)
    assert not copying.is_alive()
    assert failed == [] or "given up" in failed[0]
    assert look_at(tmp_path / FILE).waiting["alarm"] == UNDELIVERED
