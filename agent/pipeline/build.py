"""Builds every stage of one agent from the configuration, and joins them by their calls.

Building does all that can go wrong for reasons of configuration (model, ports, sources) and starts
nothing. ``connect`` comes at the start: the embedded broker has its port only then.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from agent.ablation.pool.pool import AblationPool
from agent.alarms.catalogue import watched_ids
from agent.alarms.charts.reference import Reference
from agent.alarms.lifecycle.manager import AlarmManager
from agent.alarms.watch import Watch
from agent.capture.system import CaptureSystem
from agent.config import Config, Mqtt
from agent.config.url import parse_broker
from agent.models.loaded import LoadedModel
from agent.observability.http.app_state import AppState
from agent.observability.http.server import HttpServer
from agent.observability.newest import Newest
from agent.observability.prometheus import PrometheusTelemetry
from agent.observability.view import AgentView
from agent.pipeline import factories
from agent.pipeline.alarm_loop import AlarmLoop, AlarmLoopContext
from agent.pipeline.clock import synchronised
from agent.pipeline.commands import CommandHandler, CommandTargets
from agent.pipeline.explain import ExplainLoop
from agent.pipeline.follow_up import FOLLOW_UP_S
from agent.pipeline.gauges import set_configured
from agent.pipeline.handlers import Handlers
from agent.pipeline.live import LiveLoop
from agent.pipeline.model_swap.prepared import Prepared, first_model
from agent.pipeline.page.actions import PageActions
from agent.pipeline.page.history import HistoryKeeper
from agent.pipeline.persistence import AlarmPersistence
from agent.pipeline.published_lanes import PublishedLanes
from agent.pipeline.recording import Recording
from agent.pipeline.running_word import RunningWord
from agent.publishing.connection.link import Cause
from agent.publishing.embedded.broker import EmbeddedBroker
from agent.publishing.publisher import Publisher, PublisherHooks
from agent.publishing.sink import Sink
from agent.publishing.sparkplug.publisher import NodeHooks, SparkplugPublisher
from agent.publishing.tag_commands import TagCommands, TagHooks
from agent.publishing.wire.settings import Identity
from agent.records import (
    Command,
    CommandOutcome,
    LinkStatus,
)
from agent.redaction import mask_url
from agent.sampling.scheduler import Scheduler
from agent.segmentation.switch import SegmenterSwitch
from agent.storage.store import Clocks, Store
from agent.supervision.live_priority import LivePriority
from agent.telemetry import Clock, wall_clock_ms

EMBEDDED_START_S = 20.0


@dataclass(slots=True)
class Stages:
    """Every stage of one agent.

    ``asked`` is what the file says; ``config`` the same with the classes that the model has, and
    with the section of the model that was promoted, if one was. A reload replaces what it changes,
    and another model ``prepared``: one change at a time, for which ``changing`` is held.

    ``sinks`` is empty until ``connect``; the first one holds the topics of the agent itself.
    """

    config: Config
    asked: Config
    prepared: Prepared
    segmenter: SegmenterSwitch
    changing: threading.RLock
    identity: Identity
    first_view: AgentView
    newest: Newest
    capture: CaptureSystem
    live: LiveLoop
    live_priority: LivePriority
    pool: AblationPool
    explain: ExplainLoop
    store: Store
    persistence: AlarmPersistence
    running: RunningWord
    recording: Recording
    history: HistoryKeeper
    published: PublishedLanes
    commands: CommandHandler
    actions: PageActions
    alarm_loop: AlarmLoop
    http: HttpServer | None
    broker: EmbeddedBroker | None
    sinks: tuple[Sink, ...] = ()

    @property
    def model(self) -> LoadedModel:
        """The network that reads the fruit."""
        return self.prepared.model

    @property
    def references(self) -> Mapping[str, Reference]:
        """Its references, by variety."""
        return self.prepared.references


def build(
    config: Config,
    config_hash: str,
    telemetry: PrometheusTelemetry,
    clock: Clock,
    handlers: Handlers,
) -> Stages:
    """Build everything but the sinks.

    Raises ``ModelError``, ``ReferenceFileError``, ``SlotError``, ``HttpError``, ``BrokerError``,
    ``StorageError`` and ``ClaimError`` for what cannot work; a port in use before the model is
    loaded.
    """
    session = secrets.token_hex(4)
    factories.check_ports(config)
    asked, first = config, first_model(config, clock)
    config, model, references = first.config, first.model, first.references
    lanes = factories.lanes_of(config)
    newest = Newest(lanes, {name: lane.cutting_line_deg for name, lane in lanes.items()})
    telemetry.prime(lanes)
    capture = factories.make_capture(config, session, telemetry, clock)
    live_priority = LivePriority()
    pool = make_pool(config, references, telemetry, clock, live_priority)
    scheduler = Scheduler(config.sampling, workers=pool.status().workers, now=clock())
    explain = ExplainLoop(scheduler, pool, handlers.on_result, telemetry, clock)
    frames = factories.make_live_stages(config, first.segmenter, capture, telemetry, clock)
    live = LiveLoop(frames, handlers, telemetry, clock, live_priority)
    clocks = Clocks(clock, wall_clock_ms, lambda: synchronised() == 1.0)
    store = Store(config.state_dir, telemetry, clocks, config.storage, config.owner)
    manager = AlarmManager(config.alarms, config.id, session)
    running = RunningWord(store.kept, lanes, references, clock)
    running.restore()
    recording = Recording(config, running.of_lane, store, telemetry, clock)
    recording.know_model(model.name, model.sha256)
    cameras = [camera.name for camera in config.cameras]
    alarm_ids = watched_ids(lanes, cameras, running.charted())
    persistence = AlarmPersistence(manager, store, alarm_ids, clock, wall_clock_ms)
    persistence.restore()
    history = HistoryKeeper(
        store.history,
        factories.devices_of(config),
        lambda: factories.fruit_books(telemetry, newest.lanes),
    )
    history.restore(manager.current())
    targets = CommandTargets(
        explain=explain.request,
        sampling=explain.set_period,
        machine=handlers.machine,
        set_machine=handlers.on_machine,
        lanes=tuple(lanes),
        varieties=tuple(references),
    )
    commands = CommandHandler(manager, targets, store, clock, wall_clock_ms)
    alarms = AlarmLoopContext(
        watch=Watch(config.alarms, tuple(lanes), references),
        manager=manager,
        publish=handlers.on_alarms,
        handle=commands,
        answer=handlers.on_answer,
        chores=handlers.on_tick,
        utc_ms=wall_clock_ms,
        follow_up=partial(explain.raise_attention, for_s=FOLLOW_UP_S),
    )
    alarm_loop = AlarmLoop(alarms, telemetry, clock)
    actions = PageActions(config.commands, alarm_loop.post, telemetry, clock, wall_clock_ms)
    http = _http(config, capture, newest, store, history, actions, telemetry, handlers)
    broker = factories.make_broker(config, telemetry)
    identity = factories.make_identity(config, session, config_hash, model)
    first_view = replace(
        factories.make_first_view(config, identity, model.layer or ""),
        http_url=http.url if http else "",
    )
    set_configured(telemetry, config, identity)
    return Stages(
        config=config,
        asked=asked,
        prepared=first,
        segmenter=frames.segmenter,
        changing=threading.RLock(),
        identity=identity,
        first_view=first_view,
        newest=newest,
        capture=capture,
        live=live,
        pool=pool,
        explain=explain,
        store=store,
        persistence=persistence,
        running=running,
        recording=recording,
        history=history,
        live_priority=live_priority,
        published=PublishedLanes(store.kept, factories.published(config)),
        commands=commands,
        actions=actions,
        alarm_loop=alarm_loop,
        http=http,
        broker=broker,
    )


def make_pool(
    config: Config,
    references: Mapping[str, Reference],
    telemetry: PrometheusTelemetry,
    clock: Clock,
    live_priority: LivePriority,
) -> AblationPool:
    """The workers that explain. ``SlotError``."""
    spec = factories.worker_spec(config, references)
    return AblationPool(spec, config.ablation.workers, telemetry, clock, live_priority)


def connect(
    stages: Stages, telemetry: PrometheusTelemetry, clock: Clock, handlers: Handlers
) -> None:
    """Start the embedded broker when there is one, and build the sinks. ``BrokerError``."""
    config = stages.config
    if stages.broker:
        stages.broker.start(EMBEDDED_START_S)
    elif parse_broker(config.mqtt.broker or "none").kind == "none":
        return
    mqtt = mqtt_in_force(stages)
    stages.first_view = replace(stages.first_view, broker_url=mask_url(mqtt.broker or ""))
    node = make_node(stages, telemetry, clock)

    def on_link(status: LinkStatus) -> None:
        """An agent that steps back from another of its id does so as an edge node too."""
        stages.alarm_loop.post(status)
        for sink in stages.sinks:
            if isinstance(sink, SparkplugPublisher):
                sink.hold(not status.connected and status.reason == Cause.TAKEN_OVER)

    publisher = Publisher(
        factories.make_publisher_settings(config, mqtt, stages.identity, stages.http),
        telemetry,
        clock,
        PublisherHooks(
            handlers.on_machine, on_link, stages.alarm_loop.post, stages.persistence.told
        ),
        stages.store,
    )
    stages.sinks = (publisher, node) if node is not None else (publisher,)


def mqtt_in_force(stages: Stages) -> Mqtt:
    """The settings, with the address of the broker that is really there."""
    mqtt = stages.config.mqtt
    if not stages.broker:
        return mqtt
    return mqtt.model_copy(update={"broker": f"mqtt://127.0.0.1:{stages.broker.port}"})


def make_node(
    stages: Stages, telemetry: PrometheusTelemetry, clock: Clock
) -> SparkplugPublisher | None:
    """The agent as a Sparkplug node, where it is one; what hosts write to its tags becomes
    commands."""
    if not stages.config.mqtt.sparkplug.enabled:
        return None

    def answer(command: Command, outcome: CommandOutcome, detail: str) -> None:
        for sink in stages.sinks:
            sink.answer(command, outcome, detail)

    commands = TagCommands(
        stages.config.commands,
        telemetry,
        clock,
        wall_clock_ms,
        TagHooks(stages.alarm_loop.post, answer),
    )
    return SparkplugPublisher(
        factories.make_sparkplug_settings(stages.config, mqtt_in_force(stages), stages.identity),
        NodeHooks(
            bdseq=lambda: stages.store.counters.take("bdseq", 256),
            link=stages.alarm_loop.post,
            written=commands.written,
            committed=stages.store.database.after_commit,
        ),
        telemetry,
        clock,
    )


def _http(
    config: Config,
    capture: CaptureSystem,
    newest: Newest,
    store: Store,
    history: HistoryKeeper,
    actions: PageActions,
    telemetry: PrometheusTelemetry,
    handlers: Handlers,
) -> HttpServer | None:
    if not config.http.enabled:
        return None
    return HttpServer(
        config.http,
        AppState(
            view=handlers.view,
            sources=capture.lane_states,
            on_machine=handlers.on_machine,
            newest=newest,
            telemetry=telemetry,
            kept_evidence=store.spool.evidence,
            act=actions.act,
            history=history.lane,
            past_alarms=history.alarms,
            descriptions=factories.describe_topics(config),
            words=factories.page_words(config.alarms.language),
        ),
    )
