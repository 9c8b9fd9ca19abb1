"""In which order the sinks are started, given alarms, and stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from agent.config import Config
from agent.observability.prometheus import PrometheusTelemetry
from agent.pipeline import agent as wiring
from agent.pipeline.agent import SINK_STOP_S, STOP_S, Agent
from agent.records import Alarm, LinkStatus, Overlay
from tests.publishing import examples

CONFIG = Config(
    cameras=({"name": "cam1", "source": "sim:?rate=1"},),
    ablation={"workers": {"count": 0}},
    http={"enabled": False},
    mqtt={"broker": "none"},
)


class FakeSink:
    """Notes what it is asked in ``calls``, which all sinks of a test share."""

    def __init__(self, name: str, calls: list[Any], *, after_capture: bool, limit_s: float) -> None:
        self.name, self.calls = name, calls
        self.starts_after_capture = after_capture
        self.stop_limit_s = limit_s

    def __getattr__(self, _name: str) -> Callable[..., None]:
        """What this test does not look at."""
        return lambda *_: None

    def start(self) -> None:
        self.calls.append(("start", self.name))

    def stop(self, timeout_s: float) -> bool:
        self.calls.append(("stop", self.name, timeout_s))
        return self.name == "topics"

    def link(self) -> LinkStatus:
        return LinkStatus(connected=True, protocol="5", reason=self.name, since_mono=0.0)

    def alarms(
        self, records: Sequence[tuple[Alarm, Overlay | None]], save: Callable[[], None]
    ) -> None:
        save()
        self.calls.append(("alarms", self.name, [record.seq for record, _ in records]))


@pytest.fixture
def calls() -> list[Any]:
    return []


@pytest.fixture
def agent(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> Agent:
    agent = Agent(CONFIG, "0" * 64, PrometheusTelemetry(CollectorRegistry(), time.monotonic))
    topics = FakeSink("topics", calls, after_capture=False, limit_s=float("inf"))
    node = FakeSink("node", calls, after_capture=True, limit_s=0.5)

    def connect(*_arguments: object) -> None:
        agent._stages.sinks = (topics, node)

    monkeypatch.setattr(wiring, "connect", connect)
    start = agent._stages.capture.start
    monkeypatch.setattr(
        agent._stages.capture, "start", lambda: (calls.append(("start", "capture")), start())
    )
    monkeypatch.setattr(
        agent._stages.persistence, "save", lambda records: calls.append(("save", len(records)))
    )
    connect()
    return agent


def test_the_alarms_are_saved_once_and_then_reported_by_each_sink(
    agent: Agent, calls: list[Any]
) -> None:
    agent.on_alarms([examples.alarm(seq=4), examples.alarm(seq=5)])
    assert calls == [("save", 2), ("alarms", "topics", [4, 5]), ("alarms", "node", [4, 5])]


def test_without_a_sink_the_alarms_are_saved(agent: Agent, calls: list[Any]) -> None:
    agent._stages.sinks = ()
    agent.on_alarms([examples.alarm()])
    assert calls == [("save", 1)]


def test_the_node_starts_when_the_cameras_do_and_the_status_is_the_last_to_stop(
    agent: Agent, calls: list[Any]
) -> None:
    agent.start()
    assert calls == [("start", "topics"), ("start", "capture"), ("start", "node")]
    calls.clear()
    assert agent.stop(), "the first sink's answer counts"
    asked = [call for call in calls if call[0] == "stop"]
    assert [name for _, name, _ in asked] == ["node", "topics"]
    assert asked[0][2] == 0.5
    assert SINK_STOP_S <= asked[1][2] <= STOP_S
