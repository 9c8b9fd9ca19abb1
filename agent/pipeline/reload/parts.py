"""The parts of the agent that take over a configuration, but for the cameras.

Each function prepares: it makes what has to be made, and raises for what cannot be, before anything
is touched. What it returns does the rest, in an instant or within the part's own time-out; None:
there is nothing to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from agent.ablation.pool.pool import AblationPool
from agent.config import Config
from agent.config.reload import Part
from agent.config.url import parse_broker
from agent.observability.http.listener import check_tls
from agent.observability.logging.logs import Logs
from agent.observability.prometheus import PrometheusTelemetry
from agent.pipeline import factories
from agent.pipeline.build import Stages, make_node, make_pool, mqtt_in_force
from agent.pipeline.reload.plan import Plan
from agent.pipeline.watched import watch_alarms
from agent.publishing.connection.tls import TlsFiles
from agent.publishing.publisher import Publisher
from agent.publishing.sink import Sink
from agent.publishing.sparkplug.publisher import SparkplugPublisher
from agent.redaction import mask_url
from agent.telemetry import Clock

ERRAND_S = 10.0
"""For another thread to come to its next turn: a tenth of a second, unless the machine is full."""
POOL_STOP_S = 2.0
NODE_STOP_S = 2.0

Apply = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Work:
    """What the parts are made of."""

    stages: Stages
    telemetry: PrometheusTelemetry
    clock: Clock


def logging(plan: Plan, logs: Logs | None) -> Apply | None:
    """Level, format and repeats."""
    if logs is None or not plan.touches("logging"):
        return None
    return partial(logs.configure, plan.config.logging)


def storage(work: Work, plan: Plan) -> Apply | None:
    """Caps and ages; the publisher has its pace from it, see ``publisher``."""
    if not plan.touches("storage"):
        return None
    return partial(work.stages.store.spool.configure, plan.config.storage)


def recording(work: Work, plan: Plan) -> Apply | None:
    """Which pictures are kept, and how many; whether at all, where the file says something else
    than before."""
    if not plan.touches("recording"):
        return None
    return partial(work.stages.recording.configure, plan.config)


def sampling(work: Work, plan: Plan) -> Apply | None:
    """Which frames are explained; a period that a command has set stays, unless the file has
    another one."""
    if not plan.touches("sampling"):
        return None
    new_period = plan.touches("sampling.period_s")
    configure = work.stages.explain.configure
    return partial(configure, plan.config.sampling, new_period=new_period)


def segmentation(work: Work, plan: Plan) -> Apply | None:
    """From mask to reading, and the geometry of the lanes. The network stays: while one is traced
    (torch.fx), no other can run in the same process."""
    if not (plan.touches("segmentation") or plan.touches("cameras")):
        return None
    lanes = factories.lanes_of(plan.config)
    configure = partial(work.stages.live.configure, plan.config.segmentation, lanes)
    return partial(work.stages.live.errands.do, configure, ERRAND_S)


def alarms(work: Work, plan: Plan) -> Apply | None:
    """Limits, language, change-overs, what is out of service; and which alarms there are."""
    if not (plan.touches("alarms") or plan.touches("cameras")):
        return None
    stages, config = work.stages, plan.config
    lanes = tuple(factories.lanes_of(config))
    cameras = [camera.name for camera in config.cameras]

    def change() -> None:
        stages.alarm_loop.watch.configure(config.alarms, cameras, lanes)
        watch_alarms(stages, config)

    def apply() -> None:
        stages.alarm_loop.errands.do(change, ERRAND_S)

    return apply


def workers(work: Work, plan: Plan) -> Apply | None:
    """Another pool in the place of the one that explains. ``SlotError``."""
    if not plan.has(Part.WORKERS):
        return None
    stages, config = work.stages, plan.config
    pool = make_pool(config, stages.references, work.telemetry, work.clock, stages.live_priority)

    def apply() -> None:
        exchange = partial(stages.explain.exchange, pool, config.sampling, POOL_STOP_S)
        before = stages.pool
        stages.explain.errands.do(exchange, ERRAND_S)
        stages.pool = pool
        stages.alarm_loop.errands.do(stages.alarm_loop.watch.workers_begin_anew, ERRAND_S)
        if config.ablation.workers.pool != "ray":
            for name in ("cluster_connected", "workers_stand_in"):  # there is no cluster any more
                work.telemetry.gauge(name, math.nan)
        _forget_slots(work.telemetry, before, pool)
        if pool.status().workers:
            pool.start()

    return apply


def _forget_slots(
    telemetry: PrometheusTelemetry, before: AblationPool, after: AblationPool
) -> None:
    for slot in set(before.slots()) - set(after.slots()):
        telemetry.forget("slot", slot)
    telemetry.loops.forget("pool")  # it begins with the first turn of the new one, if there is any


def page(work: Work, plan: Plan) -> Apply | None:
    """The HTTP server, whose port stays open, and what may be done on its page. ``HttpError``."""
    stages, config = work.stages, plan.config
    renewed = plan.has(Part.SERVER) or plan.lanes_differ
    if not (renewed or plan.touches("commands")):
        return None
    if stages.http is not None:
        check_tls(config.http.tls)

    def apply() -> None:
        stages.actions.configure(config.commands)
        if stages.http is not None and renewed:
            stages.http.configure(
                config.http,
                factories.page_words(config.alarms.language),
                factories.describe_topics(config),
            )

    return apply


def publisher(work: Work, plan: Plan) -> Apply:
    """The connections to the broker: anew where their own keys are others, else as they are. What
    waits for the broker waits on. ``TlsError``."""
    stages, mqtt = work.stages, plan.config.mqtt
    anew = plan.has(Part.PUBLISHER)
    if anew and parse_broker(mqtt.broker or "none").tls:
        _ = TlsFiles(mqtt.tls, "reload").context

    def apply() -> None:
        found = [sink for sink in stages.sinks if isinstance(sink, Publisher)]
        for sink in found:
            settings = factories.make_publisher_settings(
                plan.config, mqtt_in_force(stages), stages.identity, stages.http
            )
            (sink.reconnect if anew else sink.adjust)(settings)
        if stages.sinks and (anew or plan.lanes_differ):
            _exchange_node(work, tuple(found))
        for node in _nodes(stages):
            node.identify(stages.identity.config_hash)

    return apply


def _nodes(stages: Stages) -> list[SparkplugPublisher]:
    return [sink for sink in stages.sinks if isinstance(sink, SparkplugPublisher)]


def _exchange_node(work: Work, others: tuple[Sink, ...]) -> None:
    """The node declares its lanes at its birth: others need another birth, after a death."""
    stages = work.stages
    before = _nodes(stages)
    node = make_node(stages, work.telemetry, work.clock)
    stages.sinks = (*others, node) if node is not None else others
    for one in before:
        one.stop(NODE_STOP_S)
    if node is None:
        work.telemetry.loops.forget("publisher_spb")
        return
    for alarm in stages.alarm_loop.alarms():
        node.alarm(alarm)
    for status in stages.capture.statuses():
        node.camera(status)
    node.start()


def views(stages: Stages, config: Config) -> None:
    """What page and terminal show of the configuration."""
    before, layer = stages.first_view, stages.model.layer or ""
    broker = mqtt_in_force(stages).broker if stages.sinks else None
    stages.first_view = replace(
        factories.make_first_view(config, stages.identity, layer),
        http_url=stages.http.url if stages.http else "",
        broker_url=mask_url(broker) if broker else before.broker_url,
        config_changed_utc_ms=before.config_changed_utc_ms,
        config_changed_by=before.config_changed_by,
        config_hash_before=before.config_hash_before,
    )
