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
    # what a diagnosis found
    PICTURES_CHANGED = "its pictures changed at the same time"
    PICTURES_AS_USUAL = "its pictures are as usual, it is the model that sees less in them"
    OTHER_FRUIT = "its fruit have another colour, its empty cups have not"
    READ_ELSEWHERE = "its answers differ, so something else in the picture decides them"
    EXPLANATIONS_SAY = "its explanations have found the cause"


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
    # what follows from bad pictures, whenever it began; that the model looks elsewhere only where
    # it began with them (below): a lamp weak for weeks must not hide a model that goes wrong today
    Suppression(Cause.SEGMENTATION_DEGRADED, Situation.IMAGE_QUALITY),
    Suppression(Cause.EXPLANATION_DRIFT, Situation.IMAGE_QUALITY),
    # what has one cause is told once, under the alarm that names it
    Suppression(Cause.NO_READ_RATE, Situation.PICTURES_CHANGED),
    Suppression(Cause.SEGMENTATION_DEGRADED, Situation.PICTURES_CHANGED),
    Suppression(Cause.EXPLANATION_DRIFT, Situation.PICTURES_CHANGED),
    Suppression(Cause.BACKGROUND_RELIANCE, Situation.PICTURES_CHANGED),
    Suppression(Cause.FOREGROUND_INSENSITIVE, Situation.PICTURES_CHANGED),
    Suppression(Cause.NO_READ_RATE, Situation.PICTURES_AS_USUAL),
    Suppression(Cause.IMAGE_QUALITY, Situation.OTHER_FRUIT),
    Suppression(Cause.NO_READ_RATE, Situation.OTHER_FRUIT),
    Suppression(Cause.EXPLANATION_DRIFT, Situation.OTHER_FRUIT),
    Suppression(Cause.FOREGROUND_INSENSITIVE, Situation.READ_ELSEWHERE),
    Suppression(Cause.SEGMENTATION_DEGRADED, Situation.EXPLANATIONS_SAY),
    Suppression(Cause.NO_READ_RATE, Situation.EXPLANATIONS_SAY),
    # missing explanations that another alarm announces already
    Suppression(Cause.AGENT_NO_DATA, Situation.WORKERS_DEGRADED),
)


def suppressed_by(cause: Cause, situations: Collection[Situation]) -> str:
    """The first reason in the table's order; empty when the alarm is to be annunciated."""
    for row in SUPPRESSIONS:
        if row.cause is cause and row.situation in situations:
            return row.situation.value
    return ""
