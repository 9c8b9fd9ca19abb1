"""The desk, turned by hand: what it tells whom."""

from __future__ import annotations

import logging
import time

import pytest

from agent import config
from agent.alarms.lifecycle.manager import AlarmBook
from agent.alarms.watch import Watch
from agent.pipeline.alarm_loop import Desk, DeskParts
from agent.records import Alarm, CameraState, CameraStatus, MachineInfo
from agent.telemetry import NullTelemetry
from tests.capture.support import Ledger
from tests.support import wait_until


def test_news_beyond_the_inbox_is_counted_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.pipeline.alarm_loop.INBOX_MAX", 2)
    settings, ledger = config.Alarms(), Ledger()
    parts = DeskParts(
        watch=Watch(settings, ("cam1",)),
        book=AlarmBook(settings, "agent1", "s1"),
        publish=lambda alarm: None,
        chores=lambda: None,
        utc_ms=lambda: 1_700_000_000_000,
    )
    desk = Desk(parts, ledger, time.monotonic)  # not started: nobody reads
    for _ in range(5):
        desk.post(MachineInfo())
    assert ledger.counts == {("news_lost", "MachineInfo"): 3}


def test_what_is_suppressed_beside_a_lost_camera_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "agent")
    published: list[Alarm] = []
    settings = config.Alarms()
    desk = Desk(
        DeskParts(
            watch=Watch(settings, ("cam1",)),
            book=AlarmBook(settings, "agent1", "s1"),
            publish=published.extend,
            chores=lambda: None,
            utc_ms=lambda: 1_700_000_000_000,
        ),
        NullTelemetry(),
        time.monotonic,
    )
    desk.start()
    lost = CameraStatus("cam1", ("cam1",), CameraState.BACKOFF, "read_failed", time.monotonic())
    desk.post(lost)

    def raised() -> bool:
        return any(one.transition == "raised" for one in published)

    wait_until(raised, 10, "the alarm")
    desk.stop(5)
    told = [r.fields for r in caplog.records if r.levelno > logging.DEBUG]  # type: ignore[attr-defined]
    assert [(one["alarm"], one["transition"]) for one in told] == [("camera_lost-cam1", "raised")]
    assert any(one.transition == "suppressed" for one in published)
