"""The alarms that there are: how bad, how patient, and the one sentence that an operator reads.

Sentences stand in this table alone, so that another language is another table.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from agent.alarms.condition import Condition


class Cause(enum.StrEnum):
    CAMERA_LOST = "camera_lost"
    CAMERA_FROZEN = "camera_frozen"
    NO_READ_RATE = "no_read_rate"
    BACKGROUND_RELIANCE = "background_reliance"
    FOREGROUND_INSENSITIVE = "foreground_insensitive"
    EXPLANATION_DRIFT = "explanation_drift"
    SEGMENTATION_DEGRADED = "segmentation_degraded"
    IMAGE_QUALITY = "image_quality"
    AGENT_NO_DATA = "agent_no_data"
    WORKERS_DEGRADED = "workers_degraded"
    LATENCY_BUDGET = "latency_budget"
    BROKER_SESSION_CONFLICT = "broker_session_conflict"
    SPOOL_LOSS = "spool_loss"


SEVERITY = {"diagnostic": 100, "low": 300, "medium": 500, "high": 700, "critical": 900}


@dataclass(frozen=True, slots=True)
class Definition:
    """One kind of alarm.

    It is raised when its condition has been true for ``on_samples`` pieces of evidence and
    ``on_delay_s`` seconds, and clears when it has been false beyond the deadband for
    ``off_delay_s``. ``sentence`` is filled from the condition: ``{camera}``, ``{value}``,
    ``{limit}``, ``{window}``, ``{detail}``.
    """

    cause: Cause
    title: str
    priority: str
    unit: str
    on_samples: int
    on_delay_s: float
    off_delay_s: float
    sentence: str

    @property
    def severity(self) -> int:
        return SEVERITY[self.priority]


DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        Cause.CAMERA_LOST, "Camera lost", "high", "", 1, 0.0, 2.0,
        "Camera {camera} delivers no pictures ({detail}): check its power, cable and network; "
        "its fruit are not being read.",
    ),
    Definition(
        Cause.CAMERA_FROZEN, "Camera frozen", "high", "", 1, 0.0, 2.0,
        "Camera {camera} sends the same picture again and again: restart the camera; its readings "
        "are worthless until then.",
    ),
    Definition(
        Cause.NO_READ_RATE, "Many fruit without a reading", "medium", "ratio", 1, 5.0, 30.0,
        "On {camera} {value} of the last {window} fruit got no angle (limit {limit}): check lamp "
        "and lens for dirt, and how the fruit lie in the cups.",
    ),
    Definition(
        Cause.BACKGROUND_RELIANCE, "Model looks at the background", "high", "ratio", 1, 0.0, 30.0,
        "On {camera} {value} of what decides the suture lies in the background (limit {limit}, "
        "mean of {window} explanations): check cut fruit by hand, look for marks or light in the "
        "cups, and call the vision engineer.",
    ),
    Definition(
        Cause.FOREGROUND_INSENSITIVE, "Model does not look at the suture", "high", "ratio", 1, 0.0,
        30.0,
        "On {camera} hiding the suture changes the model's answer by only {value} (limit {limit}, "
        "mean of {window} explanations): check cut fruit by hand and call the vision engineer.",
    ),
    Definition(
        Cause.EXPLANATION_DRIFT, "Model looks at the fruit differently", "medium", "", 1, 0.0, 30.0,
        "On {camera} the model uses the picture otherwise than at commissioning ({detail}, over "
        "{window} explanations): compare lot and variety with what is announced, and call the "
        "vision engineer.",
    ),
    Definition(
        Cause.SEGMENTATION_DEGRADED, "Model sees the suture worse", "medium", "", 1, 0.0, 30.0,
        "On {camera} the model sees the fruit worse than at commissioning ({detail}, over {window} "
        "fruit): check lamp, lens and variety, and cut fruit by hand until it is clear why.",
    ),
    Definition(
        Cause.IMAGE_QUALITY, "Pictures are not as they should be", "medium", "", 1, 3.0, 30.0,
        "On {camera} the pictures changed ({detail}, over {window} fruit): check lamp, lens, focus "
        "and whether the camera was moved.",
    ),
    Definition(
        Cause.AGENT_NO_DATA, "Nothing to judge by", "medium", "s", 1, 0.0, 5.0,
        "On {camera} there is {detail}: nobody watches the model there; check cut fruit by hand "
        "until it is back, and call plant IT if the machine is running.",
    ),
    Definition(
        Cause.WORKERS_DEGRADED, "Explanations degraded", "low", "workers", 1, 5.0, 10.0,
        "On {camera} {detail}: readings go on, but fewer or none are explained; call plant IT.",
    ),
    Definition(
        Cause.LATENCY_BUDGET, "Readings are late", "medium", "s", 1, 5.0, 30.0,
        "On {camera} 5 % of the last {window} readings took more than {value} (limit {limit}): "
        "fruit may be cut before their angle is known; call plant IT about the load of this "
        "computer.",
    ),
    Definition(
        Cause.BROKER_SESSION_CONFLICT, "Two clients with one name", "medium", "", 1, 0.0, 60.0,
        "Another MQTT client took over the session of {camera} ({detail}): give every agent a "
        "client id of its own; until then values of both may be missing.",
    ),
    Definition(
        Cause.SPOOL_LOSS, "Messages not safe", "high", "", 1, 0.0, 60.0,
        "On {camera} {detail}: alarms of an outage or before a restart may be missing in SCADA; "
        "call plant IT to look at the disk of the state folder.",
    ),
)  # fmt: skip

BY_CAUSE = {definition.cause: definition for definition in DEFINITIONS}
AGENT = "agent"
"""Stands for the camera where an alarm is about the agent as a whole."""


def sentence(definition: Definition, condition: Condition) -> str:
    """What an operator reads while the alarm is active."""
    camera = "this agent" if condition.camera == AGENT else condition.camera
    return definition.sentence.format(
        camera=camera,
        value=_quantity(condition.value, definition.unit),
        limit=_quantity(condition.limit, definition.unit),
        window=condition.window,
        detail=condition.detail or "no further word",
    )


def sentence_when_normal(definition: Definition, camera: str) -> str:
    """What an operator reads while the alarm is not active."""
    title = definition.title[0].lower() + definition.title[1:]
    return f"Not the case on {'this agent' if camera == AGENT else camera}: {title}."


def _quantity(value: float, unit: str) -> str:
    if not math.isfinite(value):
        return "an unknown share" if unit == "ratio" else "an unknown time"
    if unit == "ratio":
        return f"{100 * value:.0f} %" if value >= 0.1 or value == 0 else f"{100 * value:.2g} %"
    if unit == "s" and value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.3g} {unit}".rstrip()
