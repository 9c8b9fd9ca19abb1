"""What ``meta`` describes, and the numbers of the ``metric/...`` topics, from the agent's view."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agent.alarms.catalogue import DEFINITIONS
from agent.observability.view import AgentView, CameraView, ClassView
from agent.records import CameraState, Quality

AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Reported:
    """One value on the wire."""

    camera: str
    name: str
    value: float
    quality: Quality
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Described:
    """What ``meta`` says of a metric; ``low`` and ``high`` bound what it can be."""

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

READING_METRICS: tuple[tuple[Described, Callable[[CameraView], float]], ...] = (
    (
        Described("angle_deg", "deg", -1.0, 180.0),
        lambda c: c.reading.angle_deg if c.reading else math.nan,
    ),
    (
        Described("confidence", "", 0.0, 1.0),
        lambda c: c.reading.confidence if c.reading else math.nan,
    ),
)

CLASS_METRICS: tuple[tuple[Described, Callable[[ClassView], float]], ...] = (
    (Described("sensitivity_foreground", "", 0.0, 1.0), lambda c: c.sensitivity_foreground),
    (Described("sensitivity_background", "", 0.0, 1.0), lambda c: c.sensitivity_background),
    (Described("context_reliance", "", 0.0, 1.0), lambda c: c.context_reliance),
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
    """What ``meta`` says of every metric: name, unit, type, range."""
    named = [described for described, _ in (*CAMERA_METRICS, *READING_METRICS, *AGENT_METRICS)]
    for class_name in classes:
        named += [
            Described(f"{class_name}_{d.name}", d.unit, d.low, d.high) for d, _ in CLASS_METRICS
        ]
    return {d.name: {"unit": d.unit, "type": "float", "low": d.low, "high": d.high} for d in named}


def describe_alarms() -> dict[str, object]:
    """What ``meta`` says of every alarm that can be raised; its id is ``cause-camera``."""
    return {
        definition.cause.value: {
            "title": definition.title,
            "priority": definition.priority,
            "severity": definition.severity,
            "unit": definition.unit,
            "on_delay_s": definition.on_delay_s,
            "off_delay_s": definition.off_delay_s,
        }
        for definition in DEFINITIONS
    }


def reported(view: AgentView) -> Iterator[Reported]:
    """Every metric of this moment. A number that is not known is 0.0 of quality bad.

    A camera that does not deliver holds its last values, whose quality is bad: an old number must
    not look like a measurement.
    """
    for camera in view.cameras:
        live = camera.state == CameraState.LIVE.value
        for described, value_of in CAMERA_METRICS:
            yield _one(camera.name, described.name, value_of(camera), live, view.utc_ms)
        seen_ms = camera.reading.captured_utc_ms if camera.reading else view.utc_ms
        for described, value_of in READING_METRICS:
            yield _one(camera.name, described.name, value_of(camera), live, seen_ms)
    for explanation in view.explanations.newest:
        for part in explanation.classes:
            for described, value_of_class in CLASS_METRICS:
                name = f"{part.class_name}_{described.name}"
                value = value_of_class(part)
                yield _one(explanation.camera, name, value, True, explanation.captured_utc_ms)
    for described, value_of_agent in AGENT_METRICS:
        yield _one(AGENT, described.name, value_of_agent(view), True, view.utc_ms)


def _one(camera: str, name: str, value: float, fresh: bool, timestamp_ms: int) -> Reported:
    known = math.isfinite(value)
    quality = Quality.GOOD if known and fresh else Quality.BAD
    return Reported(camera, name, value if known else 0.0, quality, timestamp_ms)
