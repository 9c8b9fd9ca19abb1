"""Transitions of an alarm, and the records that are published of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from agent.alarms.lifecycle.entry import Entry
from agent.alarms.lifecycle.lifecycle import Event
from agent.alarms.lifecycle.snapshot import Now
from agent.alarms.text.language import Language
from agent.records import UNEVENTFUL, Alarm, AlarmState

INITIAL = "initial"
QUALITY = "quality"
COMMENT = "comment"


class Recorder:
    """``seq`` counts the records that are events: SCADA finds a gap by it."""

    def __init__(self, language: Language) -> None:
        self.seq = 0
        self._language = language

    def step(self, entry: Entry, event: Event, now: Now, **changes: Any) -> Alarm:
        """Change the state of an alarm; ``UndefinedEdgeError`` when it has no edge for it."""
        entry.life = entry.life.step(event)
        return self.record(entry, event.value, now, **changes)

    def record(self, entry: Entry, transition: str, now: Now, **changes: Any) -> Alarm:
        """The record of an alarm as it is now, with these fields changed; it becomes its newest."""
        self.seq += transition not in UNEVENTFUL
        life, condition = entry.life, entry.condition
        suppressed = AlarmState.SUPPRESSED in life.suppressions
        reason = self._language.term(entry.suppressed_by(now.mono)) if suppressed else ""
        if condition is not None:
            changes = {
                "value": condition.value if math.isfinite(condition.value) else 0.0,
                "limit": condition.limit,
                "deadband": condition.deadband,
                "quality": condition.quality,
            } | changes
        changes = {"timestamp_ms": now.utc_ms, "captured_mono": 0.0} | changes
        entry.record = replace(
            entry.record,
            state=life.state,
            active=life.active,
            acked=life.acked,
            shelved=AlarmState.SHELVED in life.suppressions,
            suppressed=suppressed,
            suppressed_by=reason,
            message=self._language.suppressed.format(message=entry.message, reason=reason)
            if reason
            else entry.message,
            transition=transition,
            seq=self.seq,
            **changes,
        )
        return entry.record
