"""For how long an alarm makes the sampler take more explanations of its lane."""

from __future__ import annotations

from agent.alarms.catalogue import definition_of
from agent.records import Alarm

FOLLOW_UP_S = 60.0
"""The frames of a lane belong to the alarm class for so long after one of its alarms was raised:
long enough for a window of explanations, and bounded, so that an alarm that stands for a whole
shift does not take the explanations away from the other lanes."""


def follow_up_s(alarm: Alarm) -> float:
    """Return for how many seconds this record asks for explanations of its lane's frames."""
    raised = alarm.transition == "raised" and alarm.is_event
    return FOLLOW_UP_S if raised and definition_of(alarm).followed_up else 0.0
