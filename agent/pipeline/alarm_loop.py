"""The desk: one thread that turns what the stages say into alarms, metrics and housekeeping.

Everything that is neither a picture nor an explanation meets here: it is never on the live path, so
it may take its time, and it alone touches the alarm book.
"""

from __future__ import annotations

import datetime
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.alarms.lifecycle.commands import CommandResult, Outcome
from agent.alarms.lifecycle.manager import AlarmBook
from agent.alarms.watch import Watch
from agent.pipeline.chart_gauges import ChartGauges
from agent.pipeline.threads import end
from agent.records import (
    UNEVENTFUL,
    Alarm,
    CameraStatus,
    Command,
    Explanation,
    FruitReading,
    JobFailure,
    LinkStatus,
    MachineInfo,
    PoolStatus,
    StorageStatus,
)
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

TICK_S = 0.1
INBOX_MAX = 10_000
"""A second of news at many thousand fruit a minute; beyond it the oldest is not worth more than
the newest, so the new one is refused and counted."""

COVERS = frozenset({"suppressed", "released"})
"""Transitions that change nothing for a person while the alarm is not active."""

News = (
    FruitReading
    | Explanation
    | JobFailure
    | CameraStatus
    | PoolStatus
    | LinkStatus
    | StorageStatus
    | Command
    | MachineInfo
)


@dataclass(frozen=True, slots=True)
class DeskParts:
    """What the desk works with. ``utc_ms`` is Unix time in milliseconds."""

    watch: Watch
    book: AlarmBook
    publish: Callable[[Sequence[Alarm]], None]  # all that one tick made, in order
    chores: Callable[[], None]  # called on every tick
    utc_ms: Callable[[], int]
    obey: Callable[[Command], CommandResult] = lambda _: CommandResult(Outcome.REFUSED)
    answer: Callable[[Command, CommandResult], None] = lambda _command, _result: None
    follow_up: Callable[[str], None] = lambda _camera: None  # a chart of this lane has moved


class Desk:
    """Owns watch and book; everybody else only posts."""

    def __init__(self, parts: DeskParts, telemetry: Telemetry, clock: Clock) -> None:
        self._parts = parts
        self._telemetry = telemetry
        self._clock = clock
        self._chart_gauges = ChartGauges(telemetry)
        self._inbox: queue.Queue[News] = queue.Queue(INBOX_MAX)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="desk", daemon=True)
        self._alarms: tuple[Alarm, ...] = parts.book.current()

    def start(self) -> None:
        self._thread.start()

    def post(self, news: News) -> None:
        """Hand over one piece of news; never waits."""
        try:
            self._inbox.put_nowait(news)
        except queue.Full:
            kind = type(news).__name__
            self._telemetry.count("news_lost", kind=kind)
            log_event(logger, logging.WARNING, "desk_full", lost=kind)

    def alarms(self) -> tuple[Alarm, ...]:
        """Return every alarm as of the last tick."""
        return self._alarms

    def stop(self, timeout_s: float) -> None:
        """Work off what was posted, then end."""
        self._stopping.set()
        end(self._thread, timeout_s)

    def _run(self) -> None:
        while not self._stopping.wait(TICK_S):
            self._telemetry.beat("desk")
            self._tick()
        self._tick()

    def _tick(self) -> None:
        try:
            while not self._inbox.empty():
                self._hear(self._inbox.get_nowait())
            self._judge()
            self._parts.chores()
        except Exception:  # a defect here must not end alarms for good: say so and go on
            logger.exception("desk_failed")

    def _hear(self, news: News) -> None:
        watch = self._parts.watch
        match news:
            case FruitReading():
                watch.on_fruit(news)
            case Explanation():
                watch.on_explanation(news)
            case JobFailure():
                watch.on_failure(news)
            case CameraStatus():
                watch.on_camera(news)
            case PoolStatus():
                watch.on_pool(news)
            case LinkStatus():
                watch.on_link(news)
            case Command():
                self._obey(news)
            case StorageStatus():
                watch.on_storage(news)
            case MachineInfo():
                watch.on_machine(news)

    def _obey(self, command: Command) -> None:
        """``answer`` publishes the records too, so that neither is without the other."""
        result = self._parts.obey(command)
        for record in result.records:
            self._announce(record)
        self._parts.answer(command, result)

    def _judge(self) -> None:
        now, utc_ms = self._clock(), self._parts.utc_ms()
        local = datetime.datetime.fromtimestamp(utc_ms / 1000)  # of the plant, no zone
        records = [
            record
            for condition in self._parts.watch.tick(now, local, self._parts.book.unheard())
            for record in self._parts.book.update(condition, now, utc_ms)
        ]
        records += self._parts.book.tick(now, utc_ms)
        for camera in self._parts.watch.follow_ups(now):
            log_event(logger, logging.INFO, "charts_moving", camera=camera)
            self._parts.follow_up(camera)
        self._chart_gauges.tell(self._parts.watch.charts(), now)
        for record in records:
            self._announce(record)
        if records:
            self._parts.publish(records)
        self._alarms = self._parts.book.current()

    def _announce(self, record: Alarm) -> None:
        self._telemetry.count(
            "alarm_transitions", alarm=record.alarm_id, transition=record.transition
        )
        self._telemetry.gauge("alarm_active", float(record.active), alarm=record.alarm_id)
        covered = record.transition in COVERS and not record.active
        if covered or record.transition in UNEVENTFUL:
            level = logging.DEBUG  # SCADA gets it all the same
        else:
            level = logging.WARNING if record.active else logging.INFO
        log_event(
            logger,
            level,
            "alarm",
            alarm=record.alarm_id,
            transition=record.transition,
            state=record.state.value,
            message=record.message,
        )
