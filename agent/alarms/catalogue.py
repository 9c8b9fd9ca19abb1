"""The alarms that there are: how bad, and how patient. What they say to people is in ``words``."""

from __future__ import annotations

import enum
from dataclasses import dataclass


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
    ``off_delay_s``.
    """

    cause: Cause
    priority: str
    unit: str
    on_samples: int
    on_delay_s: float
    off_delay_s: float

    @property
    def severity(self) -> int:
        return SEVERITY[self.priority]


DEFINITIONS: tuple[Definition, ...] = (
    Definition(Cause.CAMERA_LOST, "high", "", 1, 0.0, 2.0),
    Definition(Cause.CAMERA_FROZEN, "high", "", 1, 0.0, 2.0),
    Definition(Cause.NO_READ_RATE, "medium", "ratio", 1, 5.0, 30.0),
    Definition(Cause.BACKGROUND_RELIANCE, "high", "ratio", 1, 0.0, 30.0),
    Definition(Cause.FOREGROUND_INSENSITIVE, "high", "ratio", 1, 0.0, 30.0),
    Definition(Cause.EXPLANATION_DRIFT, "medium", "", 1, 0.0, 30.0),
    Definition(Cause.SEGMENTATION_DEGRADED, "medium", "", 1, 0.0, 30.0),
    Definition(Cause.IMAGE_QUALITY, "medium", "", 1, 3.0, 30.0),
    Definition(Cause.AGENT_NO_DATA, "medium", "s", 1, 0.0, 5.0),
    Definition(Cause.WORKERS_DEGRADED, "low", "workers", 1, 5.0, 10.0),
    Definition(Cause.LATENCY_BUDGET, "medium", "s", 1, 5.0, 30.0),
    Definition(Cause.BROKER_SESSION_CONFLICT, "medium", "", 1, 0.0, 60.0),
    Definition(Cause.SPOOL_LOSS, "high", "", 1, 0.0, 60.0),
)

OF_EXPLANATIONS = (
    Cause.BACKGROUND_RELIANCE,
    Cause.FOREGROUND_INSENSITIVE,
    Cause.EXPLANATION_DRIFT,
)
"""Causes that nothing but explanations can raise."""

BY_CAUSE = {definition.cause: definition for definition in DEFINITIONS}
AGENT = "agent"
"""Stands for the camera where an alarm is about the agent as a whole."""
