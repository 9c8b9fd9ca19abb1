"""The alarm loop: what it counts, publishes and logs."""

from __future__ import annotations

import logging
import time
from typing import get_args

import pytest

from agent import config
from agent.alarms.lifecycle.manager import AlarmManager
from agent.alarms.watch import Watch
from agent.pipeline.alarm_loop import AlarmLoop, AlarmLoopContext, News
from agent.records import Alarm, CameraState, CameraStatus, MachineInfo
from agent.telemetry import NullTelemetry, Telemetry
from tests.capture.support import Ledger
from tests.support import wait_until


def idle_loop(telemetry: Telemetry) -> AlarmLoop:
    """The loop of one camera, which says nothing to anybody."""
    settings = config.Alarms()
    context = AlarmLoopContext(
        watch=Watch(settings, ("cam1",)),
        manager=AlarmManager(settings, "agent1", "s1"),
        publish=lambda alarm: None,
        chores=lambda: None,
        utc_ms=lambda: 1_700_000_000_000,
    )
    return AlarmLoop(context, telemetry, time.monotonic)


def test_news_beyond_the_inbox_is_counted_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.pipeline.alarm_loop.INBOX_MAX", 2)
    ledger = Ledger()
    loop = idle_loop(ledger)  # not started: nobody reads
    for _ in range(5):
        loop.post(MachineInfo())
    assert ledger.counts == {("news_lost", "MachineInfo"): 3}


def test_every_kind_of_news_has_somebody_who_takes_it() -> None:
    loop = idle_loop(NullTelemetry())
    assert set(loop._take) == set(get_args(News))


def test_what_is_suppressed_beside_a_lost_camera_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "agent")
    published: list[Alarm] = []
    settings = config.Alarms()
    loop = AlarmLoop(
        AlarmLoopContext(
            watch=Watch(settings, ("cam1",)),
            manager=AlarmManager(settings, "agent1", "s1"),
            publish=published.extend,
            chores=lambda: None,
            utc_ms=lambda: 1_700_000_000_000,
        ),
        NullTelemetry(),
        time.monotonic,
    )
    loop.start()
    lost = CameraStatus("cam1", ("cam1",), CameraState.BACKOFF, "read_failed", time.monotonic())
    loop.post(lost)

    def raised() -> bool:
        return any(one.transition == "raised" for one in published)

    wait_until(raised, 10, "the alarm")
    loop.stop(5)
    logged = [r.fields for r in caplog.records if r.levelno > logging.DEBUG]  # type: ignore[attr-defined]
    assert [(one["alarm"], one["transition"]) for one in logged] == [("camera_lost-cam1", "raised")]
    assert any(one.transition == "suppressed" for one in published)
