"""How each part of the agent is made from the configuration. Nothing here starts anything."""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from agent import __version__
from agent.ablation.pool.messages import WorkerSpec
from agent.ablation.split.apart import why_not_together
from agent.alarms.charts.reference import Bound, Reference, load_reference
from agent.alarms.signals.signals import describe_signals
from agent.alarms.text.languages import LANGUAGES
from agent.capture.feed import CaptureContext
from agent.capture.system import CaptureSystem
from agent.config import Config, Mqtt
from agent.config.url import parse_broker
from agent.models.checks import probe_batch
from agent.models.fusing import fused
from agent.models.loaded import LoadedModel
from agent.models.loading import load_model
from agent.observability.http.listener import HttpError, check_address
from agent.observability.http.server import HttpServer
from agent.observability.page.words import Words, load_words
from agent.observability.prometheus import PrometheusTelemetry
from agent.observability.view import AgentView, CameraView, LimitsView
from agent.pipeline.gauges import describe, describe_alarms, tags
from agent.pipeline.live import LiveStages
from agent.pipeline.page.actions import page_actions
from agent.publishing.embedded.broker import BrokerError, EmbeddedBroker, listen
from agent.publishing.schemas import load_schemas
from agent.publishing.sparkplug.settings import SparkplugSettings
from agent.publishing.sparkplug.writes import WRITABLE
from agent.publishing.wire.settings import ExplanationShape, Identity, PublisherSettings
from agent.records import PublishedLane
from agent.redaction import mask_url
from agent.segmentation import reading
from agent.segmentation.fruit import FruitReader
from agent.segmentation.reading import LaneGeometry
from agent.segmentation.segmenter import Segmenter
from agent.segmentation.switch import SegmenterSwitch
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

EMBEDDED_HOST = "127.0.0.1"
OPENERS = {"sim": "agent.simulator.source:open_source"}

Lanes = dict[str, LaneGeometry]


def lanes_of(config: Config) -> Lanes:
    """Every lane by name, over all cameras."""
    return {
        name: lane for camera in config.cameras for name, lane in reading.lanes_of(camera).items()
    }


def devices_of(config: Config) -> dict[str, str]:
    """The camera of every lane."""
    return {lane: camera.name for camera in config.cameras for lane in reading.lanes_of(camera)}


def fruit_books(
    telemetry: PrometheusTelemetry, lanes: Collection[str]
) -> dict[str, tuple[int, int]]:
    """Fruit and fruit without an angle since the start, by lane."""
    return {
        lane: (
            int(telemetry.total("fruit", camera=lane)),
            int(telemetry.total("fruit_no_read", camera=lane)),
        )
        for lane in lanes
    }


def load(config: Config) -> LoadedModel:
    """Load the model, which tests it, and say which it is. ``ModelError``."""
    model = load_model(config.model)
    log_event(
        logger,
        logging.INFO,
        "model_loaded",
        name=model.name,
        sha256=model.sha256[:12],
        device=str(model.device),
        layer=model.layer,
    )
    return model


def bound_of(config: Config, model: LoadedModel) -> Bound:
    """What a reference must have been made with to serve."""
    return Bound(
        model_sha256=model.sha256,
        layer=model.layer or "",
        score=config.ablation.score.value,
        width_px=model.preprocessing.width_px,
        height_px=model.preprocessing.height_px,
    )


def load_references(
    config: Config, model: LoadedModel, files: Mapping[str, Path] | None = None
) -> dict[str, Reference]:
    """The reference of each variety, of those configured or of ``files``. ``ReferenceFileError``
    for one that is not of this model."""
    running = bound_of(config, model)
    references = {
        variety: load_reference(path, variety, running)
        for variety, path in (config.alarms.reference if files is None else files).items()
    }
    for variety, one in references.items():
        log_event(
            logger,
            logging.INFO,
            "reference_loaded",
            variety=variety,
            signals=len(one.signals),
            lots=one.lots,
            made=one.made_utc,
        )
    return references


def overlay_ranges(references: Mapping[str, Reference]) -> dict[str, float] | None:
    """The colour range of each class over all varieties, None without references.

    One range for the line: a change of variety must not change what a colour means. The largest,
    so that no variety's ordinary maps are all in full colour.
    """
    ranges: dict[str, float] = {}
    for reference in references.values():
        for name, value in reference.overlay_range.items():
            ranges[name] = max(value, ranges.get(name, 0.0))
    return ranges or None


def worker_spec(config: Config, references: Mapping[str, Reference]) -> WorkerSpec:
    """What the workers explain, and how."""
    ranges = overlay_ranges(references)
    return WorkerSpec(config.model, config.ablation, ranges, agent_id=config.id)


def make_capture(config: Config, session: str, telemetry: Telemetry, clock: Clock) -> CaptureSystem:
    """Capture over all cameras, with the simulator behind ``sim:``."""
    jitter = random.Random()  # noqa: S311 - spreads reconnects, hides nothing
    context = CaptureContext(telemetry, clock, session, OPENERS, jitter, state_dir=config.state_dir)
    return CaptureSystem(config.cameras, context)


def make_segmenter(
    config: Config, model: LoadedModel, references: Mapping[str, Reference], clock: Clock
) -> Segmenter:
    """The network in its fast form. A line's own reference may ask for more plausible pictures than
    the configuration does, never for less."""
    plausible_from = {
        variety: one.min_plausibility
        for variety, one in references.items()
        if one.min_plausibility is not None
    }
    faster = fused(model)
    if config.segmentation.batches == "proven" and faster.batchable:
        why = why_not_together(faster, probe_batch(faster)[:1])
        if why:
            known = {"model": model.name, "reason": why}
            log_event(logger, logging.WARNING, "pictures_one_by_one", **known)
            faster = replace(faster, batchable=False)
    return Segmenter(faster, config.segmentation, lanes_of(config), clock, plausible_from)


def make_live_stages(
    config: Config,
    segmenter: Segmenter,
    capture: CaptureSystem,
    telemetry: Telemetry,
    clock: Clock,
) -> LiveStages:
    """What the live loop drives."""
    fruit = FruitReader(lanes_of(config), telemetry=telemetry)
    return LiveStages(
        capture=capture,
        segmenter=SegmenterSwitch(segmenter, fruit.continues, clock),
        fruit=fruit,
        batch_max=config.segmentation.batch_max,
    )


def make_first_view(config: Config, identity: Identity, layer: str) -> AgentView:
    """What page and terminal show before anything is measured, of which most never changes."""
    limits = config.alarms.limits
    return AgentView(
        agent_id=identity.agent_id,
        version=identity.version,
        session=identity.session,
        utc_ms=0,
        uptime_s=0.0,
        config_hash=identity.config_hash,
        model_name=identity.model_name,
        model_sha256=identity.model_sha256,
        layer=layer,
        cameras=tuple(
            CameraView(name=lane.name, source=mask_url(camera.source), state="")
            for camera in config.cameras
            for lane in camera.effective_lanes()
        ),
        limits=LimitsView(
            foreground_sensitivity=limits.foreground_sensitivity,
            background_reliance=limits.background_reliance,
            no_read_rate=limits.no_read_rate,
            latency_p95_s=limits.latency_p95_s,
        ),
        actions=page_actions(config),
        shelve_max_s=config.alarms.shelve_max_s,
    )


def make_identity(config: Config, session: str, config_hash: str, model: LoadedModel) -> Identity:
    """Who publishes."""
    return Identity(
        agent_id=config.id,
        session=session,
        version=__version__,
        config_hash=config_hash,
        model_name=model.name,
        model_sha256=model.sha256,
    )


def check_ports(config: Config) -> None:
    """Look, before anything takes long, whether the ports of our own servers can be had.

    ``BrokerError`` or ``HttpError`` names the key; both, where neither can.
    """
    refused: list[HttpError | BrokerError] = []
    if config.http.enabled:
        try:
            check_address(config.http)
        except HttpError as error:
            refused.append(error)
    if _is_embedded(config):
        try:
            listen(EMBEDDED_HOST, config.mqtt.embedded_port).close()
        except BrokerError as error:
            refused.append(error)
    if refused:
        raise type(refused[0])("; ".join(map(str, refused)))


def _is_embedded(config: Config) -> bool:
    return parse_broker(config.mqtt.broker or "embedded").kind == "embedded"


def make_broker(config: Config, telemetry: Telemetry) -> EmbeddedBroker | None:
    """The embedded broker, where one is wanted."""
    if not _is_embedded(config):
        return None
    return EmbeddedBroker(EMBEDDED_HOST, config.mqtt.embedded_port, telemetry)


def certificate_files(config: Config) -> dict[str, Path]:
    """The files of certificates that are in use, by what they are used for."""
    mqtt, http = config.mqtt.tls, config.http.tls
    secure = parse_broker(config.mqtt.broker or "none").tls
    files = {
        "client": mqtt.certificate if secure else None,
        "ca": mqtt.ca if secure else None,
        "http": http.certificate if config.http.enabled else None,
        "http_client_ca": http.client_ca if config.http.enabled else None,
    }
    return {use: file for use, file in files.items() if file is not None}


def make_sparkplug_settings(config: Config, mqtt: Mqtt, identity: Identity) -> SparkplugSettings:
    """``mqtt`` names the broker that is really there."""
    return SparkplugSettings(
        mqtt=mqtt,
        site=config.site,
        identity=identity,
        lanes=tuple(lanes_of(config)),
        metrics=tags(config.ablation.classes),
        writable=tuple(name for name in WRITABLE if name in config.commands.allow),
    )


def published(config: Config) -> list[PublishedLane]:
    """What is published of each lane and stays at the broker."""
    classes = config.ablation.classes
    metrics = tuple(tag.name for tag in tags(classes) if not tag.of_agent)
    return [PublishedLane(lane, metrics, classes) for lane in lanes_of(config)]


def describe_topics(config: Config) -> dict[str, object]:
    """What the agent publishes: metrics, signals, alarms, and the schema of every payload."""
    return {
        "metrics": describe(config.ablation.classes),
        "signals": describe_signals(),
        "alarms": describe_alarms(LANGUAGES[config.alarms.language]),
        "schemas": load_schemas(),
    }


def page_words(language: str) -> Words:
    """The words of the page, with those of the sentences of alarms."""
    return load_words(language, LANGUAGES[language].terms)


def make_publisher_settings(
    config: Config, mqtt: Mqtt, identity: Identity, http: HttpServer | None
) -> PublisherSettings:
    """``mqtt`` names the broker that is really there."""
    return PublisherSettings(
        mqtt=mqtt,
        site=config.site,
        identity=identity,
        shape=ExplanationShape(
            classes=config.ablation.classes, fractions=config.ablation.fractions
        ),
        http_url=_linked_url(config, http),
        signed=http.signed if http else str,
        storage=config.storage,
        commands=config.commands,
    )


def _linked_url(config: Config, http: HttpServer | None) -> str:
    """Where a picture's link leads; empty where nobody could follow it."""
    if not (http and config.http.page):
        return ""
    if config.http.public_url:
        return config.http.public_url.rstrip("/")
    return http.url if http.loopback else ""
