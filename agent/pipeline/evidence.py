"""The picture behind an alarm: what the operator is shown when it is raised."""

from __future__ import annotations

import logging

import cv2

from agent.alarms.catalogue import Evidence, definition_of
from agent.observability.newest import Newest
from agent.observability.pictures import encode_jpeg, outlined
from agent.records import SUTURE, Alarm, Overlay
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

RAISED = "raised"


def evidence_of(alarm: Alarm, newest: Newest) -> Overlay | None:
    """Return the picture for an alarm that rings, None for other transitions or without one.

    Its row in the catalogue says which: the newest heat map of the suture, the newest frame with
    its mask, or none.
    """
    if alarm.transition != RAISED or not alarm.is_event:
        return None
    match definition_of(alarm).evidence:
        case Evidence.NONE:
            return None
        case Evidence.HEAT_MAP:
            return newest.overlay(alarm.camera_id, SUTURE)
        case Evidence.FRAME:
            return _frame(alarm, newest)


def _frame(alarm: Alarm, newest: Newest) -> Overlay | None:
    seen = newest.frame(alarm.camera_id)
    if seen is None:
        return None
    try:
        image = outlined(seen)
        data = encode_jpeg(image)
    except (ValueError, cv2.error) as error:  # an alarm is raised without its picture, too
        log_event(
            logger, logging.WARNING, "evidence_failed", alarm=alarm.alarm_id, error=str(error)
        )
        return None
    return Overlay("", "image/jpeg", data, image.shape[1], image.shape[0])
