"""One file that is always there: after a kill, when it is damaged, and when its disk fails."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent.storage.errors import StorageError
from agent.storage.file import migrations, opening
from agent.storage.file.disk import RETRY_S
from agent.storage.file.state_dir import FILE
from agent.storage.store import Clocks, Store
from tests.publishing.examples import Books, FakeClock
from tests.support import require_tool


def store(folder: Path | None, books: Books | None = None, clock: FakeClock | None = None) -> Store:
    return Store(folder, books or Books(), Clocks(mono=clock or FakeClock()))


def test_a_counter_follows_on_over_restarts_and_wraps(tmp_path: Path) -> None:
    taken = []
    for _ in range(5):
        opened = store(tmp_path)
        taken += [opened.counters.take("bdseq", 4), opened.counters.take("bdseq", 4)]
        opened.close()
    assert taken == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


def test_without_a_folder_everything_works_and_nothing_survives() -> None:
    first = store(None)
    assert first.counters.take("bdseq", 256) == 0
    assert first.counters.take("bdseq", 256) == 1
    assert not first.status().durable
    assert store(None).counters.take("bdseq", 256) == 0


def test_every_commit_is_on_the_disk_before_the_call_returns(tmp_path: Path) -> None:
    assert (
        _pragma(tmp_path, "synchronous"),
        _pragma(tmp_path, "journal_mode"),
        _pragma(tmp_path, "locking_mode"),
    ) == (2, "wal", "exclusive")


def _pragma(folder: Path, name: str) -> object:
    opened = store(folder)
    try:
        return opened.database.rows(f"PRAGMA {name}")[0][0]
    finally:
        opened.close()


def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
from pathlib import Path
from tests.storage.test_database import store
opened = store(Path({str(tmp_path)!r}))
for i in range(10):
    opened.counters.set("n", i)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert store(tmp_path).counters.get("n") == 9


def test_a_second_process_on_the_same_folder_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "BUSY_S", 0.1)
    first = store(tmp_path)
    code = f"""
from pathlib import Path
from agent.storage.file import opening
from agent.storage.errors import StorageError
from tests.storage.test_database import store
opening.BUSY_S = 0.1
try:
    store(Path({str(tmp_path)!r}))
except StorageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert str(tmp_path) in done.stdout
    assert "another process" in done.stdout
    first.counters.set("n", 1)
    with pytest.raises(StorageError, match="another process"):
        store(tmp_path)
    first.close()
    assert store(tmp_path).counters.get("n") == 1


@pytest.mark.parametrize("damage", ["garbage", "truncated", "middle"])
def test_a_damaged_file_is_set_aside_and_replaced_loudly(tmp_path: Path, damage: str) -> None:
    first = store(tmp_path)
    first.database.run(
        lambda c: c.executemany(
            "INSERT INTO alarm VALUES (?, ?)", [(f"a{i}", "x" * 500) for i in range(200)]
        )
    )
    first.close()
    path = tmp_path / FILE
    whole = path.read_bytes()
    if damage == "garbage":
        path.write_bytes(os.urandom(5000))
    elif damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(whole[:8192] + os.urandom(len(whole) - 12288) + whole[-4096:])
    books = Books()
    second = store(tmp_path, books)
    assert second.status().losses == 1
    assert second.status().loss
    assert not second.status().degraded
    assert books.total("storage_losses", "corrupt") == 1
    assert list(tmp_path.glob(f"{FILE}.corrupt-*"))
    second.counters.set("n", 3)
    second.close()
    third = store(tmp_path)
    assert (third.counters.get("n"), third.status().losses) == (3, 0)


def test_a_file_that_becomes_corrupt_while_open_is_replaced_and_the_write_is_kept(
    tmp_path: Path,
) -> None:
    opened = store(tmp_path)
    opened.counters.set("n", 1)
    healthy = [True]

    def work(connection: sqlite3.Connection) -> None:
        if healthy.pop() if healthy else False:
            raise opening.corrupt("database disk image is malformed")
        connection.execute("INSERT INTO alarm VALUES ('a', '{}')")

    opened.database.run(work)
    assert opened.status().losses == 1
    kept = opened.database.rows("SELECT count(*) FROM alarm")[0][0]
    assert kept == 1


def test_a_full_disk_costs_durability_and_nothing_else(tmp_path: Path) -> None:
    books, clock = Books(), FakeClock()
    opened = store(tmp_path, books, clock)
    opened.counters.set("before", 1)
    pages = opened.database.rows("PRAGMA page_count")[0][0]
    opened.database.rows(f"PRAGMA max_page_count = {pages}")
    told: list[int] = []

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO alarm VALUES ('big', ?)", ("x" * 50_000,))
        opened.database.after_commit(lambda: told.append(1))

    opened.database.run(work)
    assert told == [1]
    assert opened.status().degraded
    assert books.gauges[("storage_durable",)] == 0.0
    assert opened.counters.get("before") == 1
    opened.counters.set("during", 2)
    clock.now += RETRY_S + 1
    assert opened.database.settle()
    assert not opened.status().degraded
    assert books.gauges[("storage_durable",)] == 1.0
    opened.close()
    again = store(tmp_path)
    assert (again.counters.get("before"), again.counters.get("during")) == (1, 2)
    big = again.database.rows("SELECT length(state) FROM alarm")[0][0]
    assert big == 50_000


def test_what_is_kept_by_name_while_the_disk_is_full_is_in_the_file_later(tmp_path: Path) -> None:
    clock = FakeClock()
    opened = store(tmp_path, clock=clock)
    opened.kept.put("word", {"variety": "golden"}, lambda: None)
    pages = opened.database.rows("PRAGMA page_count")[0][0]
    opened.database.rows(f"PRAGMA max_page_count = {pages}")
    opened.kept.put("more", {"filler": "x" * 50_000}, lambda: None)
    assert opened.status().degraded
    assert opened.kept.get("word") == {"variety": "golden"}
    opened.kept.put("word", {"variety": "blush"}, lambda: None)
    clock.now += RETRY_S + 1
    assert opened.database.settle()
    opened.close()
    assert store(tmp_path).kept.get("word") == {"variety": "blush"}


def test_a_folder_that_cannot_be_written_is_lived_with(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    books = Books()
    opened = store(in_the_way, books)
    assert opened.status().degraded
    assert opened.counters.take("bdseq", 256) == 0
    assert books.total("storage_losses", "not_durable") == 1


def test_a_defect_of_the_caller_is_raised_and_undone(tmp_path: Path) -> None:
    opened = store(tmp_path)

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO alarm VALUES ('a', '{}')")
        raise ValueError("defect")

    with pytest.raises(ValueError, match="defect"):
        opened.database.run(work)
    with pytest.raises(sqlite3.IntegrityError):
        opened.database.run(lambda c: c.execute("INSERT INTO alarm VALUES ('a', NULL)"))
    assert not opened.status().degraded
    assert opened.database.rows("SELECT count(*) FROM alarm")[0][0] == 0


def test_work_inside_work_is_one_transaction(tmp_path: Path) -> None:
    opened = store(tmp_path)

    def outer(connection: sqlite3.Connection) -> None:
        opened.counters.set("inner", 1)
        raise ValueError("undo both")

    with pytest.raises(ValueError, match="undo"):
        opened.database.run(outer)
    assert opened.counters.get("inner") == 0


def test_an_older_file_is_brought_up_to_date_and_keeps_what_it_held(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    assert migrations.migrate(connection, migrations.STEPS) == 0
    connection.execute("INSERT INTO counter VALUES ('n', 7)")
    next_step = (*migrations.STEPS, ("ALTER TABLE counter ADD COLUMN unit TEXT DEFAULT ''",))
    assert migrations.migrate(connection, next_step) == migrations.VERSION
    assert connection.execute("SELECT * FROM counter").fetchall() == [("n", 7, "")]


def test_a_step_that_fails_leaves_the_version_before_it() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    broken = (*migrations.STEPS, ("CREATE TABLE more (id)", "NO SUCH STATEMENT"))
    with pytest.raises(sqlite3.OperationalError):
        migrations.migrate(connection, broken)
    assert migrations.version_of(connection) == migrations.VERSION
    assert not connection.execute("SELECT * FROM sqlite_master WHERE name = 'more'").fetchall()


@pytest.mark.long
def test_every_commit_calls_the_sync_of_the_operating_system(tmp_path: Path) -> None:
    require_tool("strace")
    code = f"""
from pathlib import Path
from tests.storage.test_database import store
opened = store(Path({str(tmp_path)!r}))
for i in range(50):
    opened.counters.set("n", i)
"""
    trace = tmp_path / "trace"
    subprocess.run(
        [
            "strace",
            "-f",
            "-e",
            "trace=fsync,fdatasync",
            "-o",
            str(trace),
            sys.executable,
            "-c",
            code,
        ],
        check=True,
    )
    syncs = re.findall(r"(?:fsync|fdatasync)\(\d+\) += 0", trace.read_text())
    assert len(syncs) >= 50


def test_what_is_done_every_few_seconds_does_not_read_a_day_of_messages() -> None:
    opened = store(None)
    waiting = "kind = 0 AND unheard = 0 AND made_mono < 5 AND acked_mono IS NULL"
    for query in (
        "DELETE FROM outbox WHERE acked_mono < 5",
        f"DELETE FROM outbox WHERE {waiting}",
        "SELECT id FROM outbox WHERE +kind = 0 AND acked_mono IS NOT NULL ORDER BY acked_mono",
        "SELECT id FROM outbox WHERE kind = 0 AND id > 3 AND id <= 9 AND acked_mono IS NULL",
    ):
        plan = opened.database.rows(f"EXPLAIN QUERY PLAN {query}")
        assert all("USING" in row[3] and "INDEX outbox_" in row[3] for row in plan), (query, plan)
