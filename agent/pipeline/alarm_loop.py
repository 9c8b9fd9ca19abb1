"""The alarm loop: one thread that turns the stages' reports into alarms and metrics.

It is never on the live path, so it may take its time. It alone touches the watch and the alarm
manager; every other thread only posts into its queue.
"""

from __future__ import annotations

import datetime
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.alarms.catalogue import Cause
from agent.alarms.charts.charted import Usual
from agent.alarms.level import Judged
from agent.alarms.lifecycle.manager import AlarmManager
from agent.alarms.live_model import LiveModel
from agent.alarms.watch import Watch
from agent.pipeline.chart_gauges import ChartGauges, LevelGauges
from agent.records import (
    Alarm,
    CameraStatus,
    Command,
    CommandOutcome,
    CommandResult,
    Explanation,
    FruitReading,
    JobFailure,
    LinkStatus,
    MachineInfo,
    PoolStatus,
    SegmentedFrame,
    StorageStatus,
)
from agent.supervision.errands import Errands
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

TICK_S = 0.1
INBOX_MAX = 10_000
"""A second of reports at many thousand fruit a minute; beyond it the oldest is not worth more than
the newest, so the new one is refused and counted."""

HIDDEN = "hidden"
"""The ``transition`` that metrics know of an alarm that nobody is told of."""

News = (
    FruitReading
    | SegmentedFrame
    | Explanation
    | JobFailure
    | CameraStatus
    | PoolStatus
    | LinkStatus
    | StorageStatus
    | Command
    | MachineInfo
    | LiveModel
)


@dataclass(frozen=True, slots=True)
class AlarmLoopContext:
    """What the loop works with. ``utc_ms`` is Unix time in milliseconds."""

    watch: Watch
    manager: AlarmManager
    publish: Callable[[Sequence[Alarm]], None]  # all that one tick made, in order
    chores: Callable[[], None]  # called on every tick
    utc_ms: Callable[[], int]
    handle: Callable[[Command], CommandResult] = lambda _: CommandResult(CommandOutcome.REFUSED)
    answer: Callable[[Command, CommandResult], None] = lambda _command, _result: None
    follow_up: Callable[[str], object] = lambda _lane: None  # a chart of this lane has moved


class AlarmLoop:
    """Owns watch and manager; other threads only ``post``."""

    def __init__(self, context: AlarmLoopContext, telemetry: Telemetry, clock: Clock) -> None:
        self._context = context
        self._telemetry = telemetry
        self._clock = clock
        self._chart_gauges = ChartGauges(telemetry)
        self._level_gauges = LevelGauges(telemetry)
        watch = context.watch
        self._take: dict[type[News], Callable[[Any], None]] = {
            FruitReading: watch.on_fruit,
            SegmentedFrame: watch.on_picture,
            Explanation: watch.on_explanation,
            JobFailure: watch.on_failure,
            CameraStatus: watch.on_camera,
            PoolStatus: watch.on_pool,
            LinkStatus: watch.on_link,
            StorageStatus: watch.on_storage,
            MachineInfo: watch.on_machine,
            LiveModel: watch.on_live_model,
            Command: self._carry_out,
        }
        self._inbox: queue.Queue[News] = queue.Queue(INBOX_MAX)
        self.errands = Errands()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="desk", daemon=True)
        self._alarms: tuple[Alarm, ...] = context.manager.current()
        self._levels: Mapping[str, Mapping[Cause, Judged]] = {}
        self._usual: Mapping[str, Usual] = {}

    def start(self) -> None:
        self._thread.start()

    def post(self, news: News) -> None:
        """Hand over one report; never waits. A full queue refuses it, which is counted."""
        try:
            self._inbox.put_nowait(news)
        except queue.Full:
            kind = type(news).__name__
            self._telemetry.count("news_lost", kind=kind)
            log_event(logger, logging.WARNING, "desk_full", lost=kind)

    def announce(self, records: Sequence[Alarm]) -> None:
        """Count, log and publish what was changed beside the judging; an errand."""
        for record in records:
            self._announce(record)
        if records:
            self._context.publish(records)
        self._alarms = self._context.manager.current()

    @property
    def watch(self) -> Watch:
        """For errands alone."""
        return self._context.watch

    def alarms(self) -> tuple[Alarm, ...]:
        """Return every alarm as of the last tick."""
        return self._alarms

    def levels(self) -> Mapping[str, Mapping[Cause, Judged]]:
        """Return what each lane's limits were compared with at the last tick."""
        return self._levels

    def usual(self) -> Mapping[str, Usual]:
        """Return what each lane's charts had of the background's share at the last tick."""
        return self._usual

    def stop(self, timeout_s: float) -> None:
        """Process what was posted, then end."""
        self._stopping.set()
        if self._thread.is_alive():  # it may never have been started
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.wait(TICK_S):
            self._telemetry.beat("desk")
            self._tick()
        self._tick()

    def _tick(self) -> None:
        self.errands.run()
        try:
            while not self._inbox.empty():
                news = self._inbox.get_nowait()
                self._take[type(news)](news)
            self._judge()
            self._context.chores()
        except Exception:  # a defect here must not end alarms for good: log it and go on
            logger.exception("desk_failed")

    def _carry_out(self, command: Command) -> None:
        """``answer`` publishes the records too, so that neither is sent without the other."""
        result = self._context.handle(command)
        for record in result.records:
            self._announce(record)
        self._context.answer(command, result)

    def _judge(self) -> None:
        now, utc_ms = self._clock(), self._context.utc_ms()
        local = datetime.datetime.fromtimestamp(utc_ms / 1000)  # of the plant, no zone
        records = [
            record
            for condition in self._context.watch.tick(
                now, local, self._context.manager.unavailable()
            )
            for record in self._context.manager.update(condition, now, utc_ms)
        ]
        records += self._context.manager.tick(now, utc_ms)
        for lane in self._context.watch.follow_ups(now):
            log_event(logger, logging.INFO, "charts_moving", camera=lane)
            self._context.follow_up(lane)
        self._chart_gauges.update(self._context.watch.charts(), now)
        self._level_gauges.update(self._context.watch.levels(), now)
        for record in records:
            self._announce(record)
        if records:
            self._context.publish(records)
        self._alarms = self._context.manager.current()
        self._levels = self._context.watch.levels()
        self._usual = self._context.watch.usual()

    def _announce(self, record: Alarm) -> None:
        transition = HIDDEN if record.quiet else record.transition
        of = {
            "alarm": record.alarm_id.removesuffix(f"-{record.camera_id}"),
            "camera": record.camera_id,
        }
        self._telemetry.count("alarm_transitions", transition=transition, **of)
        self._telemetry.gauge("alarm_active", float(record.active), **of)
        if not record.is_event:
            level = logging.DEBUG  # SCADA gets the state all the same
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
