"""What was taken out of the configuration: nothing that is false stays with the broker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from agent import config
from agent.alarms.catalogue import watched_ids
from agent.alarms.condition import Condition
from agent.alarms.lifecycle.manager import AlarmManager
from agent.observability.prometheus import PrometheusTelemetry
from agent.pipeline import agent as wiring
from agent.pipeline.agent import Agent
from agent.pipeline.persistence import AlarmPersistence
from agent.pipeline.published_lanes import LANES_MAX, NAME, PublishedLanes
from agent.records import Alarm, AlarmState, LinkStatus, MachineInfo, Overlay, PublishedLane
from agent.storage.store import Store
from agent.telemetry import NullTelemetry
from tests.storage.hanging import hangs_at_the_start
from tests.support import wait_until

UTC_MS = 1_760_000_000_000


# --- alarms --------------------------------------------------------------------------------------


class Start:
    """One start of an agent with these cameras."""

    def __init__(self, folder: Path, *cameras: str, session: str = "s1") -> None:
        self.store = Store(folder, NullTelemetry())
        self.manager = AlarmManager(config.Alarms(), "pitter", session)
        self.persistence = AlarmPersistence(
            self.manager,
            self.store,
            watched_ids(cameras, cameras, ()),
            lambda: 1000.0,
            lambda: UTC_MS,
        )
        self.persistence.restore()

    def lose(self, camera: str) -> None:
        self.persistence.save(
            self.manager.update(Condition("camera_lost", camera, True), 1000.0, UTC_MS)
        )

    def retire(self) -> list[Alarm]:
        records = self.persistence.retire()
        self.persistence.save(records)
        return records

    def rows(self) -> set[str]:
        exported = self.store.alarms.load()
        assert exported is not None
        return {alarm["record"]["alarm_id"] for alarm in exported["alarms"]}


def test_the_alarm_of_a_camera_that_is_gone_is_cleared_once_and_kept_until_the_broker_knows(
    tmp_path: Path,
) -> None:
    first = Start(tmp_path, "cam1", "cam2")
    first.lose("cam2")
    first.store.close()
    second = Start(tmp_path, "cam1", session="s2")
    (cleared,) = second.retire()
    assert (cleared.alarm_id, cleared.is_event) == ("camera_lost-cam2", True)
    second.persistence.told("camera_lost-cam1")  # that of a camera that is there
    second.persistence.tick()
    second.store.close()  # before the broker has taken it
    third = Start(tmp_path, "cam1", session="s3")
    (said,) = third.retire()
    assert (said.state, said.is_event, said.seq) == (AlarmState.NORM, False, cleared.seq)
    third.persistence.told("camera_lost-cam2")
    third.persistence.tick()
    assert third.rows() == set()
    third.store.close()
    fourth = Start(tmp_path, "cam1", session="s4")
    assert fourth.retire() == []
    fourth.store.close()


def test_a_camera_that_is_back_before_the_broker_knew_keeps_its_alarm(tmp_path: Path) -> None:
    first = Start(tmp_path, "cam1")
    first.lose("cam1")
    first.store.close()
    second = Start(tmp_path, session="s2")
    second.retire()
    second.store.close()
    third = Start(tmp_path, "cam1", session="s3")
    assert third.retire() == []
    (alarm,) = third.manager.current()
    assert (alarm.count, alarm.active) == (1, False)
    third.persistence.told(alarm.alarm_id)
    third.persistence.tick()
    assert third.rows() == {alarm.alarm_id}
    third.store.close()


# --- retained values -----------------------------------------------------------------------------


def lane(name: str, *metrics: str, classes: tuple[str, ...] = ("suture",)) -> PublishedLane:
    return PublishedLane(name, metrics, classes)


def withdrawn(store: Store, *now: PublishedLane) -> tuple[PublishedLanes, list[PublishedLane]]:
    lanes = PublishedLanes(store.kept, now)
    return lanes, lanes.restore()


@pytest.fixture
def store() -> Store:
    return Store(None, NullTelemetry())


def test_what_is_published_no_more_is_withdrawn_at_each_start_until_the_broker_knows(
    store: Store,
) -> None:
    assert withdrawn(store, lane("a", "fps"), lane("b", "fps"))[1] == []
    for _ in range(2):
        lanes, gone = withdrawn(store, lane("a", "fps"))
        assert gone == [lane("b", "fps")]
    lanes.told("b")
    lanes.told("never")
    lanes.tick()
    assert withdrawn(store, lane("a", "fps"))[1] == []


def test_a_class_or_metric_of_a_lane_that_stays_is_withdrawn_alone(store: Store) -> None:
    withdrawn(store, lane("a", "fps", "old", classes=("suture", "stem")))
    lanes, gone = withdrawn(store, lane("a", "fps", "new"))
    assert gone == [lane("a", "old", classes=("stem",))]
    lanes.told("a")
    lanes.tick()
    assert withdrawn(store, lane("a", "fps", "new"))[1] == []


def test_a_lane_that_is_back_is_not_withdrawn(store: Store) -> None:
    withdrawn(store, lane("a", "fps"))
    withdrawn(store)
    assert withdrawn(store, lane("a", "fps"))[1] == []


def test_of_many_lanes_the_newest_are_withdrawn(store: Store) -> None:
    withdrawn(store, *(lane(f"l{i}", "fps") for i in range(LANES_MAX + 3)))
    gone = withdrawn(store)[1]
    assert [one.lane for one in (gone[0], gone[-1])] == ["l3", f"l{LANES_MAX + 2}"]


@pytest.mark.parametrize("state", [{"version": 9, "lanes": {}}, {"lanes": {"a": 3}}, [1]])
def test_a_list_that_cannot_be_read_is_begun_anew_and_named(
    store: Store, state: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store.kept.put(NAME, state, lambda: None)
    with caplog.at_level(logging.WARNING, "agent.pipeline.published_lanes"):
        assert withdrawn(store, lane("a", "fps"))[1] == []
    assert [one.getMessage() for one in caplog.records] == ["published_lanes_unreadable"]
    assert withdrawn(store)[1] == [lane("a", "fps")]


# --- the wiring ----------------------------------------------------------------------------------


class Sink:
    """Keeps what it is told; the broker knows it at once."""

    starts_after_capture = False
    stop_limit_s = 0.5

    def __init__(self) -> None:
        self.states: list[Alarm] = []
        self.events: list[Alarm] = []
        self.gone: list[PublishedLane] = []

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_: None

    def stop(self, _timeout_s: float) -> bool:
        return True

    def link(self) -> LinkStatus:
        return LinkStatus(connected=True, protocol="5", reason="", since_mono=0.0)

    def alarms(
        self, records: Sequence[tuple[Alarm, Overlay | None]], save: Callable[[], None]
    ) -> None:
        save()
        self.events += [record for record, _ in records if record.is_event]
        self.states += [record for record, _ in records]

    def withdraw(self, published: PublishedLane, told: Callable[[], None]) -> None:
        self.gone.append(published)
        told()


def started(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *cameras: str
) -> tuple[Agent, Sink, PrometheusTelemetry]:
    telemetry = PrometheusTelemetry(CollectorRegistry(), time.monotonic)
    settings = config.Config(
        cameras=tuple({"name": name, "source": "sim:?rate=1"} for name in cameras),
        ablation={"workers": {"count": 0}},
        http={"enabled": False},
        mqtt={"broker": "none"},
        state_dir=folder,
    )
    agent, sink = Agent(settings, "0" * 64, telemetry), Sink()

    def connect(*_arguments: object) -> None:
        agent._stages.sinks = (sink,)

    monkeypatch.setattr(wiring, "connect", connect)
    monkeypatch.setattr(agent._stages.capture, "start", lambda: None)
    agent.start()
    return agent, sink, telemetry


def test_an_agent_that_starts_without_a_camera_says_what_ended_and_which_variety_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    agent, _, _ = started(tmp_path, monkeypatch, "cam1", "cam2")
    agent.on_machine(MachineInfo(variety="golden", received_utc_ms=UTC_MS))
    agent.stop()
    before = Start(tmp_path, "cam1", "cam2", session="before")
    before.lose("cam2")
    before.store.close()

    caplog.set_level(logging.INFO, "agent.pipeline")
    agent, sink, _ = started(tmp_path, monkeypatch, "cam1")
    variety = agent.machine().variety
    agent.stop()
    assert [(one.alarm_id, one.transition) for one in sink.events] == [
        ("camera_lost-cam2", "cleared")
    ]
    standing = {one.alarm_id for one in sink.states if one.active}
    assert not standing
    assert {one.lane for one in sink.gone} == {"cam2"}
    assert "fps" in sink.gone[0].metrics
    assert variety == "golden"
    (said,) = [one.fields for one in caplog.records if one.getMessage() == "running_word"]  # type: ignore[attr-defined]
    assert (said["camera"], said["variety"], said["said_by"]) == ("cam1", "golden", "machine")

    agent, sink, _ = started(tmp_path, monkeypatch, "cam1")
    agent.stop()
    assert (sink.events, sink.gone) == ([], [])


def test_a_list_that_could_not_be_read_at_the_start_is_for_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This start's own list took its place: the values of the lane stayed for ever."""
    store = Store(tmp_path, NullTelemetry())
    withdrawn(store, lane("a", "fps"), lane("b", "fps"))
    store.close()
    answers = hangs_at_the_start(monkeypatch)
    store = Store(tmp_path, NullTelemetry())
    lanes, gone = withdrawn(store, lane("a", "fps"))
    assert gone == []
    answers.set()
    wait_until(lambda: not store.status().degraded, 30, "back on the disk")
    monkeypatch.undo()
    lanes.tick()
    store.close()
    store = Store(tmp_path, NullTelemetry())
    assert withdrawn(store, lane("a", "fps"))[1] == [lane("b", "fps")]
    store.close()
