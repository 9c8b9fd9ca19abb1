"""A disk that does not answer: nobody waits for it but who finds it out, and nothing is lost."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.records import StorageCause
from agent.storage.audit import AuditRow
from agent.storage.file import copying
from agent.storage.store import Store
from agent.telemetry import NullTelemetry
from tests.publishing.examples import Books
from tests.publishing.outbox.test_durable import Plant
from tests.storage.hanging import AT_ONCE_S, HangingDisk, hangs_at_the_start
from tests.support import wait_until


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> HangingDisk:
    return HangingDisk(monkeypatch)


@pytest.fixture
def plant(disk: HangingDisk, tmp_path: Path) -> Plant:
    return Plant(tmp_path)


def back(plant: Plant) -> None:
    """The disk answers again: memory has joined the file, and the outbox knows it."""
    wait_until(lambda: not plant.store.status().degraded, 30, "back on the disk")
    plant.pass_time(1)
    plant.settle()


def test_the_connection_goes_on_while_the_disk_holds_its_thread(
    plant: Plant, disk: HangingDisk
) -> None:
    """It stood for as long as the disk: housekeeping waited for the same lock."""
    plant.put()
    plant.connect()
    first = plant.take()
    assert first is not None
    with disk.hangs():
        disk.hold(plant.store.database)
        plant.box.settle(first, first.messages[0], None)
        plant.clock.now += 60
        plant.box.tick(plant.clock.now)  # answers are due, and housekeeping
        assert plant.box.take(plant.clock.now) is None
        plant.box.lost([])
        plant.box.snapshot(plant.clock.now)
        assert plant.box.take(plant.clock.now) is None
        assert plant.box.due_in(plant.clock.now) > 0
        assert not plant.store.status().degraded, "and nobody had to wait to find it out"
    plant.settle()
    plant.books.balance()


def test_what_is_written_while_the_disk_hangs_goes_out_from_memory_and_is_in_the_file_later(
    plant: Plant, disk: HangingDisk
) -> None:
    plant.connect()
    with disk.hangs():
        disk.find_out(plant.store.database)
        status = plant.store.status()
        assert status.cause is StorageCause.DISK_HANGS
        assert plant.books.gauges[("storage_durable",)] == 0.0
        assert plant.books.total("storage_losses", "disk_hangs") == 1
        for _ in range(3):
            plant.put()
        assert plant.seqs(count=2) == [1, 2]
        plant.pass_time_in_memory(1)
        assert plant.books.gauges[("storage_pending",)] == 1
    back(plant)
    assert plant.books.gauges[("storage_durable",)] == 1.0
    assert plant.books.gauges[("storage_pending",)] == 0
    assert plant.books.total("messages_dropped") == 0
    plant.books.balance()
    plant.restart()
    plant.connect()
    assert plant.seqs() == [1, 2, 3], "what the broker had is sent again after a kill, in order"


def test_the_transaction_that_hangs_is_done_once(plant: Plant, disk: HangingDisk) -> None:
    """Memory does it again, and the disk does it all the same once it answers."""
    plant.put()
    with disk.hangs():
        put = threading.Thread(target=plant.put)
        put.start()
        wait_until(lambda: disk.held, 30, "it hangs")
        disk.find_out(plant.store.database)
        put.join(30)
        plant.put()
    back(plant)
    assert plant.books.in_flight()["event"] == 3
    plant.books.balance()
    plant.connect()
    assert plant.seqs() == [1, 2, 3]


def test_work_that_waits_behind_a_hanging_disk_is_done_in_its_order(
    plant: Plant, disk: HangingDisk
) -> None:
    with disk.hangs():
        disk.hold(plant.store.database)
        counters = plant.store.counters
        jobs = [
            plant.store.database.post(lambda _, value=value: counters.set("n", value))
            for value in range(5)
        ]
        disk.find_out(plant.store.database)
        assert all(job.done.is_set() for job in jobs)
        assert counters.get("n") == 4
    back(plant)
    assert counters.get("n") == 4


def test_numbers_go_on_where_the_file_stood_that_cannot_be_read(
    plant: Plant, disk: HangingDisk
) -> None:
    counters = plant.store.counters
    assert [counters.take("bdseq", 256) for _ in range(3)] == [0, 1, 2]
    plant.put()
    newest = plant.store.spool.last_id()
    with disk.hangs():
        disk.find_out(plant.store.database)
        assert counters.take("bdseq", 256) == 3
        plant.put()
        assert plant.store.spool.last_id() == newest + 1
    back(plant)
    assert counters.take("bdseq", 256) == 4
    plant.put()
    assert plant.store.spool.last_id() == newest + 2


def test_what_the_broker_answers_while_the_disk_hangs_is_not_asked_again(
    plant: Plant, disk: HangingDisk
) -> None:
    for _ in range(4):
        plant.put()
    plant.put("explanation")
    plant.connect()
    taken = [plant.take() for _ in range(5)]
    with disk.hangs():
        disk.find_out(plant.store.database)
        for entry, reason in zip(taken, (None, None, "packet_too_large", None, None), strict=True):
            assert entry is not None
            plant.box.settle(entry, entry.messages[0], reason)
        plant.pass_time_in_memory(1)
    back(plant)
    assert plant.store.spool.waiting() == dict.fromkeys(plant.store.spool.waiting(), 0)
    assert plant.books.total("messages_delivered") == 4
    assert plant.books.total("messages_dropped", "event", "packet_too_large") == 1
    assert set(plant.books.in_flight().values()) == {0}
    plant.books.balance()


def test_what_is_kept_and_forgotten_while_the_disk_hangs_is_so_in_the_file(
    plant: Plant, disk: HangingDisk
) -> None:
    alarms = [{"record": {"alarm_id": name}, "n": 1} for name in ("a", "b")]
    plant.store.alarms.save({"seq": 1, "alarms": alarms})
    with disk.hangs():
        disk.find_out(plant.store.database)
        plant.store.alarms.save({"seq": 2, "alarms": [alarms[1] | {"n": 2}]})
        plant.store.alarms.forget(["a"])
        plant.store.kept.put("word", {"variety": "golden"}, lambda: None)
    back(plant)
    plant.restart()
    assert plant.store.alarms.load() == {"seq": 2, "alarms": [alarms[1] | {"n": 2}]}
    assert plant.store.kept.get("word") == {"variety": "golden"}


def test_what_waits_in_the_file_waits_until_it_answers_and_is_sent_then(
    plant: Plant, disk: HangingDisk
) -> None:
    for _ in range(60):  # more than a page
        plant.put()
    with disk.hangs():
        disk.find_out(plant.store.database)
        plant.connect()
        plant.put()
        assert plant.seqs() == [61]
        assert plant.books.in_flight()["event"] == 60
        plant.pass_time_in_memory(10)
        assert plant.books.total("messages_dropped") == 0
    back(plant)
    assert plant.seqs() == list(range(1, 61))
    assert plant.books.in_flight()["event"] == 0
    plant.books.balance()


@pytest.mark.long
def test_a_disk_that_hangs_again_while_memory_joins_it_costs_nothing(
    plant: Plant, disk: HangingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:

    joining, go_on = threading.Event(), threading.Event()
    join = copying.join

    def held(changes: copying.Changes, file: object) -> None:
        joining.set()
        go_on.wait(60)
        join(changes, file)  # type: ignore[arg-type]

    with disk.hangs():
        disk.find_out(plant.store.database)
        plant.put()
        monkeypatch.setattr(copying, "join", held)
    assert joining.wait(30)
    put = threading.Thread(target=plant.put)
    plant.store.database.watch_for_hangs(AT_ONCE_S)
    put.start()
    put.join(30)
    assert not put.is_alive(), "it went on in memory"
    assert plant.store.status().degraded
    plant.store.database.watch_for_hangs(60.0)
    go_on.set()
    back(plant)
    assert plant.books.in_flight()["event"] == 2
    plant.books.balance()
    plant.connect()
    assert plant.seqs() == [1, 2]


def test_an_end_while_the_disk_hangs_says_what_is_lost(
    plant: Plant, disk: HangingDisk, caplog: pytest.LogCaptureFixture
) -> None:
    plant.put()
    with disk.hangs():
        disk.find_out(plant.store.database)
        plant.put()
        plant.put()
        assert not plant.store.close(0.05)
        assert not plant.store.close(), "the same answer again"
    assert plant.books.total("messages_dropped", "event", "storage_lost") == 2
    assert plant.books.in_flight()["event"] == 1, "it waits in the file"
    plant.books.balance()
    (said,) = [r for r in caplog.records if r.getMessage() == "storage_not_kept"]
    assert said.fields["messages"] == 2  # type: ignore[attr-defined]
    assert plant.books.total("storage_losses", "not_kept") == 1


def test_a_start_on_a_disk_that_hangs_goes_on_in_memory_and_finds_the_file_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Plant(tmp_path)
    first.put()
    first.store.close()
    answers = hangs_at_the_start(monkeypatch)
    plant = Plant(tmp_path)
    assert plant.store.status().cause is StorageCause.DISK_HANGS
    plant.store.database.watch_for_hangs(60.0)
    plant.seq = 1
    plant.put()
    answers.set()
    back(plant)
    assert plant.books.in_flight()["event"] == 2
    plant.connect()
    assert plant.seqs() == [1, 2]
    plant.books.balance()


def test_a_caller_waits_no_longer_than_the_disk_may_take(disk: HangingDisk, tmp_path: Path) -> None:
    books = Books()
    store = Store(tmp_path, books)
    store.database.watch_for_hangs(AT_ONCE_S)
    with disk.hangs():
        store.counters.set("n", 1)  # returns while the disk still hangs
        assert store.status().degraded
        assert store.counters.get("n") == 1
    wait_until(lambda: not store.status().degraded, 30, "back on the disk")
    store.close()
    again = Store(tmp_path, NullTelemetry())
    assert again.counters.get("n") == 1


def test_commands_of_a_start_without_the_file_take_no_rows_of_its_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row(command_id: str) -> AuditRow:
        return AuditRow(1, "ack", command_id, "anna", "{}", "done", "")

    first = Store(tmp_path, NullTelemetry())
    first.audit.add(row("before"))
    first.close()
    answers = hangs_at_the_start(monkeypatch)
    second = Store(tmp_path, NullTelemetry())
    second.audit.add(row("meanwhile"))
    answers.set()
    wait_until(lambda: not second.status().degraded, 30, "back on the disk")
    second.audit.add(row("after"))
    found = second.database.rows("SELECT command_id FROM audit ORDER BY id")
    assert [name for (name,) in found] == ["before", "meanwhile", "after"]
    second.close()
