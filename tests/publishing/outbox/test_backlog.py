"""A backlog larger than memory may hold, and a disk that takes nothing more: alarms first, within a
bound, and every message in the books."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from agent.publishing.outbox.rows import FAMILIES
from agent.publishing.wire.messages import Entry, Message
from agent.storage import capacity
from agent.storage.file import disk
from agent.storage.file.state_dir import FILE
from agent.storage.rows import Kind
from tests.publishing.outbox.test_durable import Plant

ROOM = 1024 * 1024


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    for module in (disk, capacity):
        monkeypatch.setattr(module, "MEMORY_MAX_BYTES", ROOM)
    return Plant(tmp_path)


def backlog(plant: Plant, alarms: int) -> list[int]:
    """Put what makes the file larger than ``ROOM``; return the numbers of the alarms."""
    plant.put_many(80, "explanation", "evidence", size=20_000)
    first = plant.seq + 1
    plant.put_many(alarms, "event_alarm")
    assert plant.store.database.size_bytes()[0] > ROOM
    return list(range(first, plant.seq + 1))


def fail(plant: Plant, how: str) -> None:
    """Let every further write to the file fail; the next open of it succeeds."""
    pages = plant.store.database.rows("PRAGMA page_count")[0][0]
    pragma = f"max_page_count = {pages}" if how == "full" else "query_only = 1"
    plant.store.database.rows(f"PRAGMA {pragma}")
    for _ in range(1000):  # a file that is full still takes what has room in its pages
        if plant.store.status().degraded:
            return
        plant.put()
    raise AssertionError("the disk did not fail")


def in_books(plant: Plant) -> dict[Kind, int]:
    in_flight = plant.books.in_flight()
    return {kind: in_flight[family] for kind, family in FAMILIES.items()}


def in_table(plant: Plant) -> dict[Kind, int]:
    plant.pass_time(1.0)  # the broker's answers are written
    return plant.store.spool.waiting()


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_the_alarms_of_a_backlog_go_out_while_its_disk_is_gone_and_the_rest_when_it_is_back(
    plant: Plant, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    backlog(plant, 300)
    fail(plant, how)
    alarms = list(range(161, plant.seq + 1))
    (left,) = [r for r in caplog.records if r.getMessage() == "storage_backlog_left_on_disk"]
    assert left.fields["messages"] == 160  # type: ignore[attr-defined]
    plant.connect()
    assert plant.seqs() == alarms
    plant.put()
    assert plant.seqs() == [plant.seq]
    assert in_books(plant) == {Kind.ALARM: 0, Kind.EVIDENCE: 80, Kind.EXPLANATION: 80}
    plant.pass_time(60)  # the way back
    assert not plant.store.status().degraded
    assert in_books(plant) == in_table(plant)
    told = Counter[str]()
    while (entry := plant.take()) is not None:
        told[entry.route.family] += 1
        plant.box.settle(entry, entry.messages[0], None)
    assert told == {"evidence": 80, "explanation": 80}, "and no alarm twice"
    assert set(in_books(plant).values()) == {0}
    assert plant.books.total("messages_dropped") == 0
    plant.books.balance()


def test_of_more_alarms_than_memory_may_hold_the_oldest_go_out_and_none_is_lost(
    plant: Plant,
) -> None:
    alarms = backlog(plant, 4000)
    fail(plant, "read-only")
    alarms.append(plant.seq)
    plant.connect()
    first = plant.seqs()
    assert first[:-1] == alarms[: len(first) - 1], "the oldest, in order"
    assert first[-1] == alarms[-1], "and the newest"
    assert 1000 < len(first) < 3000
    assert plant.store.database.size_bytes()[0] <= ROOM
    plant.pass_time(60)
    assert in_books(plant) == in_table(plant)
    later = plant.seqs(count=4001 - len(first))
    assert sorted(first + later) == alarms, "each once"
    assert plant.books.total("messages_dropped", "event") == 0
    plant.books.balance()


def test_memory_that_does_for_a_disk_is_bounded_and_alarms_push_out_all_else(
    plant: Plant,
) -> None:
    backlog(plant, 10)
    fail(plant, "read-only")
    plant.put_many(60, "explanation", "evidence", "event_alarm", size=20_000)
    assert plant.store.database.size_bytes()[0] <= ROOM
    assert plant.books.total("messages_dropped", "evidence", "spool_full") > 0
    assert plant.books.total("messages_dropped", "event") == 0
    large = Message("B/event_alarm", "event_alarm", bytes(20_000), "application/x-raw")
    for _ in range(80):
        plant.box.put(Entry((large,), plant.clock.now), plant.clock.now)
    assert plant.store.database.size_bytes()[0] <= ROOM
    lost = plant.books.total("messages_dropped", "event", "spool_full")
    assert 0 < lost < 160
    assert "alarm" in plant.store.status().loss
    assert plant.store.spool.waiting()[Kind.EXPLANATION] == 0
    plant.pass_time(60)
    assert not plant.store.status().degraded
    assert in_books(plant) == in_table(plant), "what memory let go of does not come back"
    plant.books.balance()


def test_what_went_from_the_books_while_the_disk_was_away_is_gone_from_the_file(
    plant: Plant,
) -> None:
    plant.put_many(3, "event_alarm")
    fail(plant, "read-only")
    plant.pass_time(25)
    plant.store.spool._settings = plant.settings.model_copy(update={"alarm_age_s": 10.0})
    plant.pass_time(5)
    assert plant.books.total("messages_dropped", "event", "expired") == 4
    plant.store.spool._settings = plant.settings
    plant.pass_time(60)
    assert not plant.store.status().degraded
    assert in_table(plant)[Kind.ALARM] == 0
    plant.books.balance()


def test_a_file_that_was_damaged_meanwhile_costs_what_only_it_had_and_says_so(
    plant: Plant,
) -> None:
    backlog(plant, 5)
    fail(plant, "read-only")
    (plant.folder or Path()).joinpath(FILE).write_bytes(b"no database" * 1000)
    plant.pass_time(60)
    assert not plant.store.status().degraded
    assert plant.books.total("messages_dropped", "evidence", "storage_lost") == 80
    assert plant.books.total("messages_dropped", "explanation", "storage_lost") == 80
    assert in_books(plant) == in_table(plant)
    plant.connect()
    assert len(plant.seqs()) == 6, "the alarms were in memory"
    plant.books.balance()
