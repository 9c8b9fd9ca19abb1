"""Which alarms make the sampler look closer, and for how long."""

from __future__ import annotations

from agent.records import Alarm

FOLLOW_UP_S = 60.0
"""The frames of a lane belong to the alarm class for so long after one of its alarms was raised:
long enough for a window of explanations, and bounded, so that an alarm that stands for a whole
shift does not take the explanations away from the other lanes."""

FOLLOWED = (
    "no_read_rate",
    "background_reliance",
    "foreground_insensitive",
    "explanation_drift",
    "segmentation_degraded",
    "image_quality",
    "agent_no_data",
)
"""Not the budget of latency, which more work would not help, and not what has no pictures."""


def follow_up_s(alarm: Alarm) -> float:
    """Return for how many seconds this record asks for explanations of its camera's frames."""
    raised = alarm.transition == "raised" and not (alarm.suppressed or alarm.shelved)
    cause = alarm.alarm_id.removesuffix(f"-{alarm.camera_id}")
    return FOLLOW_UP_S if raised and cause in FOLLOWED else 0.0
