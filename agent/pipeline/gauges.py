"""What is said of metrics and alarms, the gauges of what is configured, and the numbers of the
``metric/...`` topics, from the agent's view."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from agent.alarms.catalogue import DEFINITIONS
from agent.alarms.text.language import Language
from agent.config import Config
from agent.observability.view import AgentView, CameraView, ClassView
from agent.publishing.sparkplug.settings import MetricTag
from agent.publishing.wire.settings import Identity
from agent.publishing.wire.topics import AGENT
from agent.records import ANGLE_NO_READ, CameraState, Quality
from agent.telemetry import Telemetry

READING_FRESH_S = 10.0
"""An older angle is the last known one and no longer that of a fruit under the camera; messages of
single fruit expire after the same time."""


@dataclass(frozen=True, slots=True)
class Reported:
    """One value on the wire."""

    lane: str
    name: str
    value: float
    quality: Quality
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Described:
    """What is said of a metric; ``low`` and ``high`` bound what it can be."""

    name: str
    unit: str
    low: float
    high: float


CAMERA_METRICS: tuple[tuple[Described, Callable[[CameraView], float]], ...] = (
    (Described("fps", "Hz", 0.0, 1000.0), lambda c: c.fps),
    (Described("fruit_per_minute", "1/min", 0.0, 100_000.0), lambda c: c.fruit_per_minute),
    (Described("fruit_total", "", 0.0, 1e12), lambda c: float(c.fruit)),
    (Described("no_read_total", "", 0.0, 1e12), lambda c: float(c.fruit_no_read)),
    (Described("frames_dropped_total", "", 0.0, 1e12), lambda c: float(c.frames_dropped)),
    (
        Described("capture_to_mask_p95_ms", "ms", 0.0, 1e6),
        lambda c: 1000.0 * c.capture_to_mask.p95_s,
    ),
)

ANGLE = Described("angle_deg", "deg", ANGLE_NO_READ, 180.0)
CONFIDENCE = Described("confidence", "", 0.0, 1.0)
PLAUSIBILITY = Described("plausibility", "", 0.0, 1.0)

CLASS_METRICS: tuple[tuple[Described, Callable[[ClassView], float]], ...] = (
    (Described("sensitivity_foreground", "", 0.0, 1.0), lambda c: c.sensitivity_foreground),
    (Described("sensitivity_background", "", 0.0, 1.0), lambda c: c.sensitivity_background),
    (Described("context_reliance", "", 0.0, 1.0), lambda c: c.context_reliance),
    (
        Described("input_sensitivity_foreground", "", 0.0, 1.0),
        lambda c: c.input_sensitivity_foreground,
    ),
    (
        Described("input_sensitivity_background", "", 0.0, 1.0),
        lambda c: c.input_sensitivity_background,
    ),
    (Described("input_context_reliance", "", 0.0, 1.0), lambda c: c.input_context_reliance),
)

AGENT_METRICS: tuple[tuple[Described, Callable[[AgentView], float]], ...] = (
    (Described("uptime_s", "s", 0.0, 1e12), lambda v: v.uptime_s),
    (Described("explanations_per_minute", "1/min", 0.0, 1e6), lambda v: v.explanations.per_minute),
    (
        Described("workers_ready", "", 0.0, 64.0),
        lambda v: float(v.workers.ready) if v.workers else 0.0,
    ),
    (
        Described("memory_bytes", "byte", 0.0, 1e15),
        lambda v: float(sum(p.resident_bytes for p in v.processes)),
    ),
)


def describe(classes: tuple[str, ...]) -> dict[str, object]:
    """What is said of every metric: name, unit, type, range."""
    named = [described for described, _ in (*CAMERA_METRICS, *AGENT_METRICS)]
    named += [ANGLE, CONFIDENCE, PLAUSIBILITY]
    for class_name in classes:
        named += [
            Described(f"{class_name}_{d.name}", d.unit, d.low, d.high) for d, _ in CLASS_METRICS
        ]
    return {d.name: {"unit": d.unit, "type": "float", "low": d.low, "high": d.high} for d in named}


def tags(classes: tuple[str, ...]) -> tuple[MetricTag, ...]:
    """The same metrics as tags of Sparkplug."""
    of_class = [replace(d, name=f"{c}_{d.name}") for c in classes for d, _ in CLASS_METRICS]
    of_camera = [*(d for d, _ in CAMERA_METRICS), ANGLE, CONFIDENCE, PLAUSIBILITY, *of_class]
    return (
        *(MetricTag(d.name, d.unit) for d in of_camera),
        *(MetricTag(d.name, d.unit, of_agent=True) for d, _ in AGENT_METRICS),
    )


def describe_alarms(language: Language) -> dict[str, object]:
    """What is said of every alarm that can be raised; its id is ``cause-camera``."""
    return {
        definition.cause.value: {
            "title": language.title(definition),
            "priority": definition.priority,
            "severity": definition.severity,
            "unit": definition.unit,
            "on_delay_s": definition.on_delay_s,
            "off_delay_s": definition.off_delay_s,
        }
        for definition in DEFINITIONS
    }


def agent_state(view: AgentView) -> tuple[str, str]:
    """Return state and reason for the status topic: running, starting, or degraded by what."""
    away = [camera for camera in view.cameras if camera.state != CameraState.LIVE.value]
    new = all(
        camera.state in ("", CameraState.CONNECTING.value) and not camera.frames_captured
        for camera in away
    )
    reason = ", ".join(f"{camera.name} {camera.state}".rstrip() for camera in away)
    return ("starting" if new else "degraded") if away else "running", reason


def reported(view: AgentView, explained_within_s: float) -> Iterator[Reported]:
    """Every metric of this moment. A number that is not known is 0.0 (an angle -1.0), quality bad.

    A camera that does not deliver holds its last values, whose quality is bad, and so does a lane
    without an explanation for ``explained_within_s``: an old number must not look like a
    measurement. An angle older than ``READING_FRESH_S`` is uncertain.
    """
    live = {camera.name: camera.state == CameraState.LIVE.value for camera in view.cameras}
    for camera in view.cameras:
        quality = Quality.GOOD if live[camera.name] else Quality.BAD
        for described, value_of in CAMERA_METRICS:
            yield _one(camera.name, described, value_of(camera), quality, view.utc_ms)
        yield from _reading(camera, quality, view.utc_ms)
    for explanation in view.explanations.newest:
        fresh = live.get(explanation.camera, False) and explanation.age_s <= explained_within_s
        quality = Quality.GOOD if fresh else Quality.BAD
        for part in explanation.classes:
            for described, value_of_class in CLASS_METRICS:
                named = replace(described, name=f"{part.class_name}_{described.name}")
                value = value_of_class(part)
                yield _one(explanation.camera, named, value, quality, explanation.captured_utc_ms)
    for described, value_of_agent in AGENT_METRICS:
        yield _one(AGENT, described, value_of_agent(view), Quality.GOOD, view.utc_ms)


def _reading(camera: CameraView, quality: Quality, now_ms: int) -> Iterator[Reported]:
    reading = camera.reading
    if reading is None:
        yield Reported(camera.name, ANGLE.name, ANGLE_NO_READ, Quality.BAD, now_ms)
        yield Reported(camera.name, CONFIDENCE.name, 0.0, Quality.BAD, now_ms)
        yield Reported(camera.name, PLAUSIBILITY.name, 0.0, Quality.BAD, now_ms)
        return
    if quality is Quality.GOOD and reading.age_s > READING_FRESH_S:
        quality = Quality.UNCERTAIN
    angle_deg = reading.angle_deg if reading.read else ANGLE_NO_READ
    of_angle = quality if reading.read else Quality.BAD
    stamp_ms = reading.captured_utc_ms
    yield Reported(camera.name, ANGLE.name, angle_deg, of_angle, stamp_ms)
    yield _one(camera.name, CONFIDENCE, reading.confidence, quality, stamp_ms)
    yield _one(camera.name, PLAUSIBILITY, reading.plausibility, quality, stamp_ms)


def _one(
    lane: str, described: Described, value: float, quality: Quality, timestamp_ms: int
) -> Reported:
    if not math.isfinite(value):
        return Reported(lane, described.name, 0.0, Quality.BAD, timestamp_ms)
    return Reported(lane, described.name, value, quality, timestamp_ms)


def limit_metric(name: str) -> str:
    """The gauge of one limit, by its unit, which its name ends in; without one it is a share."""
    if name.endswith("_window"):
        return "alarm_window_samples"
    return "alarm_limit_seconds" if name.endswith("_s") else "alarm_limit_ratio"


def set_configured(telemetry: Telemetry, config: Config, identity: Identity) -> None:
    """Set the gauges of what is configured: the limits of the alarms, and what runs."""
    for name, limit in config.alarms.limits:
        telemetry.gauge("alarm_limit", float(limit), limit=name)
        telemetry.gauge(limit_metric(name), float(limit), limit=name)
    tell_model(telemetry, identity, live=True)


def tell_model(telemetry: Telemetry, identity: Identity, *, live: bool) -> None:
    """Set the gauge of what runs; ``live`` false: it does not any more."""
    telemetry.gauge(
        "info",
        1.0 if live else math.nan,
        version=identity.version,
        model=identity.model_name,
        model_sha256=identity.model_sha256,
        config_hash=identity.config_hash,
    )
