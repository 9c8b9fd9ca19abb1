"""The picture behind an alarm: what the operator is shown when it is raised."""

from __future__ import annotations

import logging

import cv2

from agent.observability.newest import Newest
from agent.observability.pictures import encode_jpeg, outlined
from agent.records import SUTURE, Alarm, Overlay
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

RAISED = "raised"
ABOUT_EXPLANATIONS = ("background_reliance", "foreground_insensitive", "explanation_drift")


def evidence_of(alarm: Alarm, newest: Newest) -> Overlay | None:
    """Return the picture for a raised alarm, None for other transitions or without one.

    An alarm about how the model looks shows the newest heat map of the suture; one about a camera
    or its fruit the newest frame with its mask; one about the agent itself has no picture.
    """
    if alarm.transition != RAISED:
        return None
    if alarm.alarm_id.startswith(ABOUT_EXPLANATIONS):
        return newest.overlay(alarm.camera_id, SUTURE)
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
