"""The picture behind an alarm: what the operator is shown when it is raised."""

from __future__ import annotations

from agent.observability.newest import Newest
from agent.observability.pictures import encode_jpeg, outlined
from agent.records import SUTURE, Alarm, Overlay

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
    seen = newest.seen(alarm.camera_id)
    if seen is None:
        return None
    image = outlined(seen)
    return Overlay("", "image/jpeg", encode_jpeg(image), image.shape[1], image.shape[0])
