"""The running agent: every stage built from one configuration, started and ended in order."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent.ablation.pool.messages import WorkerSpec
from agent.ablation.pool.pool import AblationPool
from agent.alarms.lifecycle.commands import CommandResult
from agent.alarms.lifecycle.manager import AlarmManager
from agent.alarms.signals.extract import of_explanation
from agent.alarms.watch import Watch
from agent.config import Config
from agent.config.url import mask_url, parse_broker
from agent.observability.build import Now, build_view
from agent.observability.health import Readiness, livez
from agent.observability.http.app_state import AppState
from agent.observability.http.server import HttpServer
from agent.observability.newest import Newest
from agent.observability.prometheus import PrometheusTelemetry
from agent.observability.view import AgentView, ProcessView
from agent.pipeline import parts
from agent.pipeline.alarm_loop import AlarmLoop, AlarmLoopContext
from agent.pipeline.clock import synchronised
from agent.pipeline.commands import CommandHandler, CommandTargets
from agent.pipeline.evidence import evidence_of
from agent.pipeline.explain import ExplainLoop, Result
from agent.pipeline.fit import fitted
from agent.pipeline.follow_up import FOLLOW_UP_S, follow_up_s
from agent.pipeline.gauges import agent_state, reported
from agent.pipeline.live import LiveLoop, count_fruit
from agent.pipeline.persistence import AlarmPersistence
from agent.pipeline.processes import processes
from agent.publishing.publisher import Publisher, PublisherHooks
from agent.publishing.sparkplug.publisher import SparkplugPublisher
from agent.records import (
    Alarm,
    CameraState,
    Command,
    Explanation,
    Frame,
    FruitReading,
    LinkStatus,
    MachineInfo,
    PoolStatus,
    SegmentedFrame,
    StorageStatus,
)
from agent.sampling.scheduler import Scheduler
from agent.storage.store import Clocks, Store
from agent.supervision.right_of_way import RightOfWay
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

METRICS_INTERVAL_S = 1.0
"""How often the published metrics are looked at; the publisher's deadband decides what is sent."""
STOP_S = 3.5
"""All of the shutdown together, also with every child hung: ``systemctl stop`` must not end in a
kill. What follows takes up to another second and a half."""
BROKER_STOP_S = 1.0
SPARKPLUG_STOP_S = 0.5


def utc_ms() -> int:
    """Return the Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class _Memory:
    """What the wiring itself remembers between two looks."""

    machine: MachineInfo = field(default_factory=MachineInfo)
    processes: tuple[ProcessView, ...] = ()
    metrics_due_mono: float = 0.0
    pool: PoolStatus | None = None
    storage: StorageStatus | None = None
    last_frame_ms: int = 0
    delivered: int = 0


class Agent:
    """Everything between the cameras and SCADA.

    The constructor does all that can go wrong for reasons of configuration (model, ports, sources)
    and starts nothing; ``start`` starts the threads and children; ``stop`` ends them in order.
    """

    def __init__(self, config: Config, config_hash: str, telemetry: PrometheusTelemetry) -> None:
        self._config = config
        self._clock = time.monotonic
        self._session = secrets.token_hex(4)
        self._memory = _Memory()
        self.telemetry = telemetry
        model = parts.load(config)
        self._config = config = fitted(config, model)
        references = parts.load_references(config, model)
        self._lanes = parts.lanes_of(config)
        lines_deg = {name: lane.cutting_line_deg for name, lane in self._lanes.items()}
        self._newest = Newest(self._lanes, lines_deg)
        telemetry.prime(self._lanes)
        self._capture = parts.make_capture(config, self._session, telemetry, self._clock)
        right_of_way = RightOfWay()
        self._pool = AblationPool(
            WorkerSpec(config.model, config.ablation, parts.overlay_ranges(references)),
            config.ablation.workers,
            telemetry,
            self._clock,
            right_of_way,
        )
        self._workers = self._pool.status().workers
        scheduler = Scheduler(config.sampling, workers=self._workers, now=self._clock())
        self._explain = ExplainLoop(scheduler, self._pool, self._on_result, telemetry, self._clock)
        stages = parts.make_live_stages(config, model, self._capture, telemetry, self._clock)
        self._live = LiveLoop(stages, self, telemetry, self._clock, right_of_way)
        self._count_fruit = count_fruit(telemetry)
        self._store = Store(
            config.state_dir, telemetry, Clocks(self._clock, utc_ms), config.storage
        )
        manager = AlarmManager(config.alarms, config.id, self._session)
        names = [*self._lanes, *(camera.name for camera in config.cameras)]
        self._keeper = AlarmPersistence(manager, self._store, names, self._clock, utc_ms)
        self._keeper.restore()
        targets = CommandTargets(
            explain=self._explain.request,
            sampling=self._explain.set_period,
            machine=lambda: self._memory.machine,
            set_machine=self._on_machine,
        )
        self._obey = CommandHandler(manager, targets, self._store, self._clock, utc_ms)
        context = AlarmLoopContext(
            watch=Watch(config.alarms, tuple(self._lanes), references),
            manager=manager,
            publish=self._on_alarms,
            handle=self._obey,
            answer=self._on_answer,
            chores=self._chores,
            utc_ms=utc_ms,
            follow_up=self._follow_up,
        )
        self._desk = AlarmLoop(context, telemetry, self._clock)
        self.http = self._http() if config.http.enabled else None
        self._broker = parts.make_broker(config, telemetry)
        self._publisher: Publisher | None = None
        self._sparkplug: SparkplugPublisher | None = None
        self._identity = parts.make_identity(config, self._session, config_hash, model)
        self._facts = replace(
            parts.make_facts(config, self._identity, model.layer or "", self._clock()),
            http_url=self.http.url if self.http else "",
        )
        for name, limit in config.alarms.limits:
            telemetry.gauge("alarm_limit", float(limit), limit=name)
        telemetry.gauge(
            "info",
            1.0,
            version=self._identity.version,
            model=self._identity.model_name,
            model_sha256=self._identity.model_sha256,
            config_hash=config_hash,
        )

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start outwards in: whoever receives is there before whoever sends.

        ``BrokerError`` when the embedded broker cannot have its port, before anything else starts.
        """
        if self.http:
            self.http.start()
        self._connect()
        for alarm in self._keeper.restored():
            if alarm.evidence_topic:
                self._newest.on_evidence(alarm.event_id, None)
            if self._publisher:
                self._publisher.alarm(alarm)
            if self._sparkplug:
                self._sparkplug.alarm(alarm)
        self._desk.start()
        if self._workers:
            self._pool.start()
        self._explain.start()
        self._live.start()
        self._capture.start()
        if self._sparkplug:
            self._sparkplug.start()
        if self.http:
            self.http.wait_started()
        log_event(
            logger,
            logging.INFO,
            "agent_started",
            id=self._config.id,
            session=self._session,
            cameras=",".join(self._lanes),
            model=self._identity.model_name,
            broker=self._facts.broker_url or "none",
            http=self._facts.http_url or "none",
        )

    def finished(self) -> bool:
        """Whether every source has ended, so that nothing more will come."""
        return self._capture.finished()

    def stalled(self) -> tuple[str, ...]:
        """Return which loops of this process stand, in words; empty while all move."""
        return livez(self.telemetry.loops.ages_s(), self._config.http.loop_limit_s).reasons

    def stop(self) -> bool:
        """Stop intake, end jobs, flush, say ``stopped``; true when the broker acknowledged it."""
        deadline = self._clock() + STOP_S
        self._capture.end_intake(1.5)
        self._live.stop(0.5)
        self._capture.stop(0.1)
        self._explain.stop(0.5)
        self._desk.stop(0.5)
        acknowledged = True
        if self._sparkplug:
            self._sparkplug.stop(SPARKPLUG_STOP_S)
        if self._publisher:
            acknowledged = self._publisher.stop(max(0.5, deadline - self._clock()))
        if self._broker:
            # One that did not answer the farewell is hung; waiting for it again helps nobody.
            self._broker.stop(BROKER_STOP_S if acknowledged else 0.0)
        if self.http:
            self.http.stop()
        self._log_books()
        self._store.close()
        log_event(logger, logging.INFO, "agent_stopped", acknowledged=acknowledged)
        return acknowledged

    # --- what the live loop hands on (no call waits) ---------------------------------------------

    def on_segmented(self, frame: Frame, segmentation: SegmentedFrame) -> None:
        """Every frame: remembered for the page, offered for explanation.

        One picture that is shown again and again is explained once.
        """
        self._memory.last_frame_ms = frame.captured_utc_ms
        self._newest.on_segmented(frame, segmentation)
        if self._workers and not self._is_frozen(frame.lane):
            self._explain.offer(frame, segmentation)

    def on_fruit(self, reading: FruitReading) -> None:
        """One reading per fruit: counted, published, judged."""
        if self._is_frozen(reading.segmentation.lane):
            reading = replace(reading, camera_frozen=True)
        self._count_fruit(reading)
        self._newest.on_fruit(reading)
        if self._publisher:
            self._publisher.fruit(reading, reading.segmentation.lane)
        if self._sparkplug:
            self._sparkplug.fruit(reading, reading.segmentation.lane)
        self._desk.post(reading)

    def _is_frozen(self, lane: str) -> bool:
        return any(
            status.state is CameraState.FROZEN and lane in status.lanes
            for status in self._capture.statuses()
        )

    # --- what comes from elsewhere ---------------------------------------------------------------

    def _on_result(self, result: Result) -> None:
        if isinstance(result, Explanation):
            self._newest.on_explanation(result)
            for name, value in of_explanation(result, None).items():
                self.telemetry.gauge("signal", value, camera=result.lane, signal=name)
            if self._publisher:
                self._publisher.explanation(result)
        self._desk.post(result)

    def _on_machine(self, machine: MachineInfo) -> None:
        before, self._memory.machine = self._memory.machine, machine
        if machine.state is not before.state:
            log_event(logger, logging.INFO, "machine_state", state=machine.state.value)
        self._capture.set_machine(machine)
        self._desk.post(machine)

    def _on_link(self, link: LinkStatus) -> None:
        self._desk.post(link)

    def _on_alarms(self, alarms: Sequence[Alarm]) -> None:
        """One transaction for what one tick changed: the alarms' state and their messages."""
        pairs = []
        for alarm in alarms:
            if follow_s := follow_up_s(alarm):
                self._explain.raise_attention(alarm.camera_id, follow_s)
            evidence = evidence_of(alarm, self._newest)
            if evidence:
                self._newest.on_evidence(alarm.event_id, evidence)
            pairs.append((alarm, evidence))
        if self._publisher:
            self._publisher.alarms(pairs, lambda: self._keeper.save(alarms))
        else:
            self._keeper.save(alarms)
        if self._sparkplug:
            for alarm in alarms:
                self._sparkplug.alarm(alarm)

    def _on_command(self, command: Command) -> None:
        self._desk.post(command)

    def _on_answer(self, command: Command, result: CommandResult) -> None:
        """One transaction for what a command changed and for the word about it."""

        def work(_connection: object) -> None:
            if result.records:
                self._on_alarms(result.records)
            self._obey.audit(command, result)

        self._store.database.run(work)
        if self._publisher:
            self._publisher.answer(command, result.outcome, result.detail)

    def _follow_up(self, lane: str) -> None:
        self._explain.raise_attention(lane, FOLLOW_UP_S)

    # --- the alarm loop's chores -----------------------------------------------------------------

    def _chores(self) -> None:
        for change in self._capture.changes():
            self._desk.post(change)
            if self._sparkplug:
                self._sparkplug.camera(change)
        storage = self._store.status()
        if storage != self._memory.storage:
            self._memory.storage = storage
            self._desk.post(storage)
        pool = self._pool.status()
        if pool != self._memory.pool:
            self._memory.pool = pool
            self._desk.post(pool)
        if self._clock() < self._memory.metrics_due_mono:
            return
        self._memory.metrics_due_mono = self._clock() + METRICS_INTERVAL_S
        self._memory.processes = processes(
            {
                "capture": self._capture.pids().values(),
                "worker": self._pool.pids().values(),
                "broker": [self._broker.pid] if self._broker and self._broker.pid else [],
                "http": [self.http.pid] if self.http and self.http.pid else [],
            }
        )
        view = self.view()
        self._keep_gauges(view)
        if self._publisher:
            self._publish_metrics(self._publisher, view)

    def _keep_gauges(self, view: AgentView) -> None:
        self.telemetry.gauge("clock_synchronised", synchronised())
        self.telemetry.gauge("messages_limit", self._config.mqtt.queue_max)
        if view.messages.delivered > self._memory.delivered:
            self._memory.delivered = view.messages.delivered
            self.telemetry.gauge("last_delivered_timestamp_seconds", utc_ms() / 1000)
        for row in self._memory.processes:
            self.telemetry.gauge("process_memory_bytes", row.resident_bytes, process=row.process)
        for camera in view.cameras:
            self.telemetry.gauge("frames_in_flight", camera.frames_in_flight, camera=camera.name)

    def _publish_metrics(self, publisher: Publisher, view: AgentView) -> None:
        for one in reported(view, self._config.alarms.limits.no_explanation_s):
            sample = (one.lane, one.name, one.value, one.quality, one.timestamp_ms)
            publisher.metric(*sample)
            if self._sparkplug:
                self._sparkplug.metric(*sample)
        state, reason = agent_state(view)
        publisher.status(state, reason, self._memory.last_frame_ms)

    def view(self) -> AgentView:
        """Return the whole state of this moment, for terminal, page and API."""
        now = Now(
            mono=self._clock(),
            utc_ms=utc_ms(),
            statuses=self._capture.statuses(),
            machine=self._memory.machine,
            workers=self._pool.status(),
            link=self._publisher.link() if self._publisher else None,
            alarms=self._desk.alarms(),
            processes=self._memory.processes,
        )
        return build_view(self._facts, now, self._newest, self.telemetry)

    # --- building --------------------------------------------------------------------------------

    def _http(self) -> HttpServer:
        return HttpServer(
            self._config.http,
            AppState(
                view=self.view,
                loop_ages_s=self.telemetry.loops.ages_s,
                readiness=self._readiness,
                on_machine=self._on_machine,
                newest=self._newest,
                registry=self.telemetry.registry,
                telemetry=self.telemetry,
                kept_evidence=self._store.spool.evidence,
            ),
        )

    def _readiness(self) -> Readiness:
        states = {
            name: status.state for status in self._capture.statuses() for name in status.lanes
        }
        # There is no agent without a model: its constructor loads and self-tests it, or raises.
        return Readiness(model_loaded=True, model_self_tested=True, cameras=states)

    def _connect(self) -> None:
        """Start the embedded broker when there is one, then the publisher."""
        mqtt = self._config.mqtt
        if self._broker:
            self._broker.start(20.0)
            mqtt = mqtt.model_copy(update={"broker": f"mqtt://127.0.0.1:{self._broker.port}"})
        elif parse_broker(mqtt.broker or "none").kind == "none":
            return
        self._facts = replace(self._facts, broker_url=mask_url(mqtt.broker or ""))
        self._publisher = Publisher(
            parts.make_publisher_settings(self._config, mqtt, self._identity, self.http),
            self.telemetry,
            self._clock,
            PublisherHooks(self._on_machine, self._on_link, self._on_command),
            self._store,
        )
        self._publisher.start()
        if mqtt.sparkplug.enabled:
            self._sparkplug = SparkplugPublisher(
                parts.make_sparkplug_settings(self._config, mqtt, self._identity),
                lambda: self._store.counters.take("bdseq", 256),
                self.telemetry,
                self._clock,
                self._on_link,
            )

    def _log_books(self) -> None:
        view = self.view()
        jobs, messages = view.explanations, view.messages
        log_event(
            logger,
            logging.INFO,
            "job_books",
            selected=jobs.selected,
            completed=jobs.completed,
            dropped=jobs.dropped,
            in_flight=jobs.in_flight,
        )
        log_event(
            logger,
            logging.INFO,
            "message_books",
            enqueued=messages.enqueued,
            delivered=messages.delivered,
            dropped=messages.dropped,
            in_flight=messages.in_flight,
        )
        for camera in view.cameras:
            log_event(
                logger,
                logging.INFO,
                "books",
                camera=camera.name,
                captured=camera.frames_captured,
                segmented=camera.frames_segmented,
                dropped=camera.frames_dropped,
                in_flight=camera.frames_in_flight,
                fruit=camera.fruit,
                no_read=camera.fruit_no_read,
            )
