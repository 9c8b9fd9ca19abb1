"""The switch of recording: by the file, by a command, over restarts; and who it was."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.config import Config
from agent.dataset.claim import FILE
from agent.pipeline.recording import Recording, alarmed_lanes
from agent.records import AlarmState
from agent.storage.store import Store
from agent.supervision.control.protocol import Peer, RefusedError
from agent.telemetry import NullTelemetry
from tests.observability.samples import alarm as an_alarm
from tests.recording.support import frame, fruit, kept
from tests.support import wait_until

ME = Peer(os.getuid(), os.getpid())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path / "state", NullTelemetry())
    yield found
    found.close(5.0)


def make(store: Store, folder: Path | None, **recording: Any) -> Recording:
    section = {"folder": folder, "free_disk_bytes": 0, **recording}
    config = Config(recording=section)  # type: ignore[arg-type]
    return Recording(config, lambda _: ("", ""), store, NullTelemetry(), lambda: 0.0)


def ask(recording: Recording, command: str) -> dict[str, Any]:
    return dict(recording.handlers[f"recording.{command}"]({}, ME))


def end(recording: Recording) -> None:
    recording.recorder.start()
    recording.recorder.stop(30.0)


def audit(store: Store) -> list[tuple[Any, ...]]:
    return store.database.rows("SELECT command, user, outcome, detail FROM audit ORDER BY id")


def test_it_is_off_unless_the_file_says_otherwise(tmp_path: Path, store: Store) -> None:
    assert not ask(make(store, tmp_path / "r"), "status")["on"]
    assert not (tmp_path / "r").exists()
    on = make(store, tmp_path / "r", enabled=True)
    found = ask(on, "status")
    assert (found["on"], found["by"]) == (True, "configuration")
    end(on)


def test_a_command_switches_it_and_the_audit_says_who(tmp_path: Path, store: Store) -> None:
    recording = make(store, tmp_path / "r")
    found = ask(recording, "on")
    assert (found["on"], found["by"], found["folder"]) == (True, ME.who, str(tmp_path / "r"))
    with pytest.raises(RefusedError, match="on already"):
        ask(recording, "on")
    assert not ask(recording, "off")["on"]
    assert audit(store) == [("recording", ME.who, "done", "")] * 2


def test_what_was_switched_stays_over_a_restart_until_the_file_says_something_else(
    tmp_path: Path, store: Store
) -> None:
    first = make(store, tmp_path / "r")
    since = ask(first, "on")["since_utc_ms"]
    end(first)
    second = make(store, tmp_path / "r")
    found = ask(second, "status")
    assert (found["on"], found["since_utc_ms"], found["by"]) == (True, since, ME.who)
    end(second)
    third = make(store, tmp_path / "r", enabled=True)
    assert ask(third, "status")["by"] == "configuration"
    assert not ask(third, "off")["on"]
    assert not ask(make(store, tmp_path / "r", enabled=True), "status")["on"]


def test_a_folder_of_another_agent_pauses_from_the_start_and_refuses_the_command(
    tmp_path: Path, store: Store
) -> None:
    first = make(store, tmp_path / "r", enabled=True)
    first.recorder.start()
    wait_until(lambda: (tmp_path / "r" / FILE).exists(), 30, "it has the folder")
    beside = make(store, tmp_path / "r", enabled=True)
    beside.recorder.start()
    wait_until(lambda: ask(beside, "status")["paused"] == "folder_taken", 30, "it is told")
    assert "another process records there" in str(ask(beside, "status")["detail"])
    beside.recorder.stop(30.0)
    other = Store(tmp_path / "other", NullTelemetry())
    second = make(other, tmp_path / "r")
    with pytest.raises(RefusedError, match="another process records there"):
        ask(second, "on")
    assert [row[2] for row in audit(other)] == ["refused"]
    assert not ask(second, "status")["on"]
    other.close(5.0)
    first.recorder.stop(30.0)


def test_without_a_place_a_command_is_refused(store: Store) -> None:
    with pytest.raises(RefusedError, match="neither recording"):
        ask(make(store, None), "on")


def test_a_record_holds_what_the_message_of_the_fruit_holds(tmp_path: Path, store: Store) -> None:
    recording = make(store, tmp_path / "r", enabled=True)
    recording.know_model("net", "ab")
    recording.recorder.hold(frame(1))
    recording.recorder.fruit(fruit(frame(1), confidence=0.3))
    end(recording)
    (record,) = kept(tmp_path / "r")
    assert (record.model, record.lot) == ("net", "L-1")
    assert (record.reading["read"], record.reading["angle_deg"]) == (True, 10.0)
    assert record.reading["confidence"] == 0.3


def test_a_reload_goes_by_what_the_file_says_now(tmp_path: Path, store: Store) -> None:
    recording = make(store, tmp_path / "r")
    section = {"folder": tmp_path / "r", "enabled": True, "limit_bytes": 1 << 30}
    recording.configure(Config(recording=section))  # type: ignore[arg-type]
    found = ask(recording, "status")
    assert (found["on"], found["limit_bytes"]) == (True, 1 << 30)
    end(recording)


def test_only_alarms_that_stand_and_are_heard_mark_their_lanes() -> None:
    one = dataclasses.replace(an_alarm(), camera_id="left", active=True, state=AlarmState.UNACK)
    devices = {"left": "cam", "right": "cam", "other": "cam2"}
    assert alarmed_lanes([one], devices) == {"left"}
    whole = dataclasses.replace(one, camera_id="cam")
    assert alarmed_lanes([whole], devices) == {"left", "right"}
    shelved = dataclasses.replace(one, state=AlarmState.SHELVED)
    over = dataclasses.replace(one, active=False)
    agent = dataclasses.replace(one, camera_id="agent")
    assert alarmed_lanes([shelved, over, agent], devices) == set()
