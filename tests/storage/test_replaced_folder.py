"""A folder that is removed, renamed or replaced under the agent, and ends without a disk."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.records import StorageCause, TopicFamily
from agent.storage.file.disk import REPLACED
from agent.storage.file.health import DAMAGED
from agent.storage.file.opening import open_file
from agent.storage.file.state_dir import FILE
from tests.publishing.outbox.test_durable import Plant


def removed(folder: Path) -> None:
    shutil.rmtree(folder)


def removed_file(folder: Path) -> None:
    for name in (f"{FILE}-wal", FILE):
        (folder / name).unlink()


def renamed(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def replaced_by_an_empty_one(folder: Path) -> None:
    renamed(folder)
    folder.mkdir()


def replaced_by_another(folder: Path) -> None:
    """As somebody does who restores a backup: with a message of its own in it."""
    renamed(folder)
    other = Plant(folder)
    other.put("explanation")
    other.store.close()


def replaced_by_garbage(folder: Path) -> None:
    replaced_by_an_empty_one(folder)
    (folder / FILE).write_bytes(b"no database" * 1000)


@pytest.mark.parametrize(
    "befall",
    [
        removed,
        removed_file,
        renamed,
        replaced_by_an_empty_one,
        replaced_by_another,
        replaced_by_garbage,
    ],
)
def test_it_is_noticed_and_what_the_old_file_held_is_in_the_new_one(
    tmp_path: Path, befall: Callable[[Path], None]
) -> None:
    """Writes went on into nothing, and after the restart nine events were gone."""
    folder = tmp_path / "state"
    plant = Plant(folder)
    plant.put_many(6, "event_alarm")
    plant.put("evidence", size=5000)
    plant.store.counters.set("n", 7)
    with plant.store.database._executor.lock:  # it is found as it is in the end
        befall(folder)
    plant.put_many(3, "event_alarm")
    plant.settle()
    status = plant.store.status()
    assert status.cause is StorageCause.FOLDER_REPLACED
    assert status.loss == (DAMAGED if befall is replaced_by_garbage else REPLACED)
    assert not status.degraded, "and it is back on the disk"
    assert plant.books.total("storage_losses", "folder_replaced") == 1
    plant.put()
    plant.pass_time(1)
    plant.settle()
    assert plant.books.total("messages_dropped") == 0
    assert plant.books.in_flight()["event"] == 10
    plant.books.balance()
    plant.restart()
    assert plant.store.status().losses == 0
    assert plant.store.counters.get("n") == 7
    assert plant.store.spool.evidence("e7") == ("image/jpeg", bytes(5000))
    plant.connect()
    told = []
    while (entry := plant.take()) is not None:
        plant.box.settle(entry, entry.messages[0], None)
        if entry.family is TopicFamily.EVENT:
            told.append(json.loads(entry.messages[0].payload)["seq"])
    assert told == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11]
    assert set(plant.books.in_flight().values()) == {0}
    plant.books.balance()


def test_another_files_log_is_not_deleted_with_ours(tmp_path: Path) -> None:
    """SQLite removes the log of a file by its name."""
    folder = tmp_path / "state"
    folder.mkdir()
    ours = open_file(folder / FILE)
    ours.execute("INSERT INTO counter VALUES ('n', 1)")
    replaced_by_an_empty_one(folder)
    other = sqlite3.connect(folder / FILE, isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("CREATE TABLE theirs (n)")
    other.execute("INSERT INTO theirs VALUES (42)")
    assert (folder / f"{FILE}-wal").stat().st_size > 0
    ours.close()
    assert (folder / f"{FILE}-wal").stat().st_size > 0
    assert other.execute("SELECT n FROM theirs").fetchall() == [(42,)]
    other.close()


def full(plant: Plant) -> None:
    """The disk is full for the file that is open; one that is opened anew finds room."""
    pages = plant.store.database.rows("PRAGMA page_count")[0][0]
    plant.store.database.rows(f"PRAGMA max_page_count = {pages}")
    for _ in range(1000):
        if plant.store.status().degraded:
            return
        plant.put()
    raise AssertionError("the disk did not fail")


def test_an_end_before_the_next_try_saves_what_memory_holds_where_the_disk_takes_it_again(
    tmp_path: Path,
) -> None:
    """A disk that was full and had room again: everything was thrown away uncounted."""
    plant = Plant(tmp_path)
    full(plant)
    plant.put_many(5, "event_alarm")
    events = plant.seq
    assert plant.store.status().degraded
    plant.box.close("shutdown", clean=True)
    assert plant.store.close()
    assert plant.books.total("messages_dropped") == 0
    plant.restart(close=False)
    plant.connect()
    assert plant.seqs() == list(range(1, events + 1))


def test_an_end_while_the_disk_takes_nothing_counts_what_is_lost_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "state"
    plant = Plant(folder)
    full(plant)
    in_file = plant.seq - 1
    plant.put_many(5, "event_alarm")
    shutil.rmtree(folder)
    folder.write_text("no folder")
    plant.box.close("shutdown", clean=True)
    assert not plant.store.close()
    lost = plant.books.total("messages_dropped", "event", "storage_lost")
    assert lost == 6, "what memory alone had"
    assert plant.books.in_flight()["event"] == in_file
    (said,) = [r for r in caplog.records if r.getMessage() == "storage_not_kept"]
    assert said.fields["messages"] == 6  # type: ignore[attr-defined]
    plant.books.balance()
