"""What the agent says of itself: its view, its gauges, the metrics of the sinks, its books."""

from __future__ import annotations

from collections.abc import Iterator

from agent.alarms.level import Judged
from agent.observability.build import Now, build_view
from agent.observability.prometheus import PrometheusTelemetry
from agent.observability.view import (
    UNKNOWN,
    AgentView,
    LevelView,
    ProcessView,
    RecordingView,
    RunningView,
    UsualView,
)
from agent.pipeline.build import Stages
from agent.pipeline.clock import synchronised
from agent.pipeline.gauges import agent_state, reported
from agent.pipeline.processes import processes
from agent.pipeline.running_word import InForce
from agent.recording.status import RecordingStatus
from agent.records import MachineInfo, PoolStatus, Quality, StorageStatus
from agent.telemetry import Clock, wall_clock_ms

METRICS_INTERVAL_S = 1.0
"""How often the published metrics are looked at; the publisher's deadband decides what is sent."""


class Reporter:
    """Looks at every stage; ``tick`` for one thread, the rest for any.

    ``machine`` is what the machine said last, ``last_frame_ms`` the stamp of the newest frame that
    was segmented (Unix time, 0 before the first).
    """

    def __init__(self, stages: Stages, telemetry: PrometheusTelemetry, clock: Clock) -> None:
        self.machine = MachineInfo()
        self.last_frame_ms = 0
        self._stages = stages
        self._telemetry = telemetry
        self._clock = clock
        self._started_mono = clock()
        self._processes: tuple[ProcessView, ...] = ()
        self._metrics_due_mono = 0.0
        self._pool: PoolStatus | None = None
        self._storage: StorageStatus | None = None
        self._delivered = 0

    def tick(self) -> None:
        """Report what has changed, and once a second every number."""
        stages = self._stages
        for change in stages.capture.changes():
            stages.alarm_loop.post(change)
            for sink in stages.sinks:
                sink.camera(change)
        stages.store.database.tick()
        storage = stages.store.status()
        if storage != self._storage:
            self._storage = storage
            stages.alarm_loop.post(storage)
        pool = stages.pool.status()
        if pool != self._pool:
            self._pool = pool
            stages.alarm_loop.post(pool)
        if self._clock() < self._metrics_due_mono:
            return
        self._metrics_due_mono = self._clock() + METRICS_INTERVAL_S
        self._processes = self._measure_processes()
        view = self.view()
        self._set_gauges(view)
        self._publish(view)

    def view(self) -> AgentView:
        """Return the whole state of this moment, for terminal, page and API."""
        stages, utc_ms = self._stages, wall_clock_ms()
        now = Now(
            mono=self._clock(),
            utc_ms=utc_ms,
            started_mono=self._started_mono,
            statuses=stages.capture.statuses(),
            machine=self.machine,
            workers=stages.pool.status(),
            link=stages.sinks[0].link() if stages.sinks else None,
            alarms=stages.alarm_loop.alarms(),
            processes=self._processes,
            levels={
                lane: {cause.value: _level(judged) for cause, judged in levels.items()}
                for lane, levels in stages.alarm_loop.levels().items()
            },
            usual={
                lane: UsualView(one.held, one.low, one.high, one.mean)
                for lane, one in stages.alarm_loop.usual().items()
            },
            recording=recording_view(self._stages.recording.recorder.status(), self._telemetry),
            running={one.lane: running_view(one, utc_ms) for one in stages.running.in_force()},
        )
        return build_view(stages.first_view, now, stages.newest, self._telemetry)

    def _measure_processes(self) -> tuple[ProcessView, ...]:
        stages = self._stages
        return processes(
            {
                "capture": stages.capture.pids().values(),
                "worker": stages.pool.local_pids(),
                "broker": [stages.broker.pid] if stages.broker and stages.broker.pid else [],
                "http": [stages.http.pid] if stages.http and stages.http.pid else [],
            }
        )

    def _set_gauges(self, view: AgentView) -> None:
        gauge = self._telemetry.gauge
        gauge("clock_synchronised", synchronised())
        self._stages.recording.recorder.tell()
        gauge("messages_limit", self._stages.config.mqtt.queue_max)
        if view.messages.delivered > self._delivered:
            self._delivered = view.messages.delivered
            gauge("last_delivered_timestamp_seconds", wall_clock_ms() / 1000)
        for row in self._processes:
            gauge("process_memory_bytes", row.resident_bytes, process=row.process)
        for camera in view.cameras:
            gauge("frames_in_flight", camera.frames_in_flight, camera=camera.name)

    def _publish(self, view: AgentView) -> None:
        sinks = self._stages.sinks
        for one in reported(view, self._stages.config.alarms.limits.no_explanation_s):
            for sink in sinks:
                sink.metric(one.lane, one.name, one.value, one.quality, one.timestamp_ms)
        state, reason = agent_state(view)
        for sink in sinks:
            sink.status(state, reason, self.last_frame_ms)


def _level(judged: Judged) -> LevelView:
    level = judged.level
    good = judged.quality is Quality.GOOD
    return LevelView(level.value, level.limit, level.window, level.low, good)


def running_view(word: InForce, utc_ms: int) -> RunningView:
    """The word in force, for the view.

    Both times are of this computer's clock: after one that was set back the age is 0, not less.
    """
    since_ms = word.since_utc_ms
    age_s = max(0.0, (utc_ms - since_ms) / 1000) if since_ms else UNKNOWN
    return RunningView(word.variety, word.lot, word.origin, since_ms, age_s)


def books(view: AgentView) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the events that close the books of jobs, messages and each lane, with their fields."""
    jobs, messages = view.explanations, view.messages
    yield (
        "job_books",
        {
            "selected": jobs.selected,
            "completed": jobs.completed,
            "dropped": jobs.dropped,
            "in_flight": jobs.in_flight,
        },
    )
    yield (
        "message_books",
        {
            "enqueued": messages.enqueued,
            "delivered": messages.delivered,
            "dropped": messages.dropped,
            "in_flight": messages.in_flight,
        },
    )
    for camera in view.cameras:
        yield (
            "books",
            {
                "camera": camera.name,
                "captured": camera.frames_captured,
                "segmented": camera.frames_segmented,
                "dropped": camera.frames_dropped,
                "in_flight": camera.frames_in_flight,
                "fruit": camera.fruit,
                "no_read": camera.fruit_no_read,
            },
        )


def recording_view(status: RecordingStatus, telemetry: PrometheusTelemetry) -> RecordingView:
    """Recording as page and status show it."""
    holding = status.holding
    return RecordingView(
        on=status.on,
        since_utc_ms=status.since_utc_ms,
        by=status.by,
        paused=status.paused.value if status.paused else "",
        records={reason.value: count for reason, count in holding.records.items() if count},
        size_bytes=sum(holding.bytes.values()),
        limit_bytes=status.limit_bytes,
        oldest_utc_ms=holding.oldest_utc_ms,
        recorded=int(telemetry.total("recorded_pictures")),
        dropped=int(telemetry.total("recordings_dropped")),
    )
