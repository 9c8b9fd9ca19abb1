"""Databases that earlier states of the program left, killed with alarms that nobody had yet.

``files/schema-2.db`` and ``schema-4.db``: an agent with a black picture and no broker, ended by
SIGKILL; in the second, two commands stand in the audit.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agent.storage.ages import UNKNOWN
from agent.storage.file import migrations
from agent.storage.file.state_dir import FILE, file_version
from agent.storage.history import Minute
from agent.storage.rows import Kind
from agent.storage.store import Clocks, Store
from tests.publishing.examples import Books, FakeClock

MADE_UTC_MS = 1_795_984_763_991
FILES = Path(__file__).with_name("files")


@pytest.fixture
def opened(tmp_path: Path):
    shutil.copy(FILES / "schema-2.db", tmp_path / FILE)
    clocks = Clocks(mono=FakeClock(), utc_ms=lambda: MADE_UTC_MS + 60_000)
    store = Store(tmp_path, Books(), clocks)
    yield store
    store.close()


def test_the_alarms_stand_as_they_stood(opened: Store) -> None:
    assert opened.status().losses == 0
    exported = opened.alarms.load()
    assert exported is not None
    states = {
        row["record"]["alarm_id"]: row["record"]["state"]
        for row in json.loads(json.dumps(exported))["alarms"]
    }
    assert len(states) == 11
    assert {one for one, state in states.items() if state == "UNACK"} == {
        "image_quality-lane1",
        "no_read_rate-lane1",
    }
    assert exported["seq"] == 2


def test_the_events_wait_in_their_order_with_their_stamps_and_pictures(opened: Store) -> None:
    rows = opened.spool.page(Kind.ALARM, 0, opened.spool.last_id(), float("inf"), 10)
    events = [json.loads(row.payload) for row in rows]
    assert [(one["alarm_id"], one["seq"]) for one in events] == [
        ("image_quality-lane1", 1),
        ("no_read_rate-lane1", 2),
    ]
    assert events[1]["timestamp_ms"] <= MADE_UTC_MS
    assert not any(row.acked for row in rows)
    for event in events:
        content_type, picture = opened.spool.evidence(event["event_id"]) or ("", b"")
        assert (content_type, picture[:2]) == ("image/jpeg", b"\xff\xd8")


def test_the_file_is_brought_up_to_date_and_no_stamp_of_before_is_believed(opened: Store) -> None:
    assert file_version(FILES / "schema-2.db") == 2
    assert opened.database.rows("PRAGMA user_version") == [(migrations.VERSION,)]
    assert opened.database.rows("SELECT DISTINCT stamp FROM outbox") == [(UNKNOWN,)]


def test_a_new_event_gets_a_number_of_its_own(opened: Store) -> None:
    before = opened.spool.last_id()
    assert opened.counters.take("bdseq", 256) == 0
    assert before >= 1_795_984_741_890


def test_the_schema_before_the_history_keeps_everything_and_has_a_history_from_now_on(
    tmp_path: Path,
) -> None:
    assert file_version(FILES / "schema-4.db") == 4
    shutil.copy(FILES / "schema-4.db", tmp_path / FILE)
    store = Store(tmp_path, Books(), Clocks(mono=FakeClock(), utc_ms=lambda: MADE_UTC_MS))
    assert store.database.rows("PRAGMA user_version") == [(migrations.VERSION,)]
    exported = store.alarms.load()
    assert exported is not None
    (rings,) = [one["record"] for one in exported["alarms"] if one["record"]["active"]]
    assert (rings["alarm_id"], rings["event_id"]) == ("image_quality-lane1", "9fd31dd4-1")
    (event,) = store.spool.page(Kind.ALARM, 0, store.spool.last_id(), float("inf"), 10)
    assert json.loads(event.payload)["event_id"] == "9fd31dd4-1"
    assert store.spool.evidence("9fd31dd4-1") is not None
    asked = store.database.rows("SELECT command, user, outcome, via FROM audit ORDER BY id")
    assert asked == [("ack", "anna", "done", ""), ("shelve", "bruno", "expired", "")]
    assert store.audit.carried_out("panel-1")
    assert (store.history.minutes("lane1"), store.history.occurrences(50)) == ([], [])
    store.history.add([Minute("lane1", store.history.clocks.elapsed(), 60.0, {"read": 0.9})])
    assert [one.figures for one in store.history.minutes("lane1")] == [{"read": 0.9}]
    store.close()
