"""Which alarm is not annunciated because of what: one table."""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass

from agent.alarms.catalogue import Cause


class Situation(enum.StrEnum):
    """What makes other alarms meaningless."""

    NOT_RUNNING = "the machine is not running"
    CAMERA_LOST = "its camera is lost"
    CAMERA_FROZEN = "its camera repeats one picture"
    IMAGE_QUALITY = "its pictures are not as they should be"
    WORKERS_DEGRADED = "the workers that explain are out of service"


@dataclass(frozen=True, slots=True)
class Suppression:
    """``cause`` is suppressed while the situation lasts; its value is the reason given."""

    cause: Cause
    situation: Situation


SUPPRESSIONS: tuple[Suppression, ...] = (
    # a belt that stands delivers nothing, and that is no fault
    Suppression(Cause.CAMERA_LOST, Situation.NOT_RUNNING),
    Suppression(Cause.CAMERA_FROZEN, Situation.NOT_RUNNING),
    Suppression(Cause.NO_READ_RATE, Situation.NOT_RUNNING),
    Suppression(Cause.AGENT_NO_DATA, Situation.NOT_RUNNING),
    # what follows from a camera that sees nothing
    Suppression(Cause.CAMERA_FROZEN, Situation.CAMERA_LOST),
    Suppression(Cause.NO_READ_RATE, Situation.CAMERA_LOST),
    Suppression(Cause.LATENCY_BUDGET, Situation.CAMERA_LOST),
    Suppression(Cause.AGENT_NO_DATA, Situation.CAMERA_LOST),
    Suppression(Cause.NO_READ_RATE, Situation.CAMERA_FROZEN),
    Suppression(Cause.AGENT_NO_DATA, Situation.CAMERA_FROZEN),
    Suppression(Cause.IMAGE_QUALITY, Situation.CAMERA_LOST),
    Suppression(Cause.IMAGE_QUALITY, Situation.CAMERA_FROZEN),
    # what follows from bad pictures; not that the model looks elsewhere, whatever the reason
    Suppression(Cause.SEGMENTATION_DEGRADED, Situation.IMAGE_QUALITY),
    Suppression(Cause.EXPLANATION_DRIFT, Situation.IMAGE_QUALITY),
    # missing explanations that another alarm announces already
    Suppression(Cause.AGENT_NO_DATA, Situation.WORKERS_DEGRADED),
)


def suppressed_by(cause: Cause, situations: Collection[Situation]) -> str:
    """The first reason in the table's order; empty when the alarm is to be annunciated."""
    for row in SUPPRESSIONS:
        if row.cause is cause and row.situation in situations:
            return row.situation.value
    return ""
