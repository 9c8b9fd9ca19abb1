"""Transitions of an alarm, and the records that are published of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from agent.alarms.lifecycle.entry import Entry
from agent.alarms.lifecycle.lifecycle import Event
from agent.alarms.lifecycle.snapshot import Now
from agent.alarms.text.language import Language
from agent.records import Alarm, AlarmState, Quality

INITIAL = "initial"
QUALITY = "quality"
COMMENT = "comment"


class Recorder:
    """``seq`` counts the records that are events: SCADA finds a gap by it.

    An occurrence that begins while its annunciation is suppressed is no event until it rings: when
    the suppression ends before the condition does. Nor is a suppression by design that hides
    nothing. A machine that stops for lunch would write a page of both into the journal.
    """

    def __init__(self, language: Language) -> None:
        self.seq = 0
        self.language = language

    def step(self, entry: Entry, event: Event, now: Now, **changes: Any) -> Alarm:
        """Change the state of an alarm; ``UndefinedEdgeError`` when it has no edge for it."""
        quiet = not _told(entry, event)
        entry.life = entry.life.step(event)
        return self.record(entry, event.value, now, quiet=quiet, **changes)

    def ring(self, entry: Entry, now: Now) -> Alarm | None:
        """The event of an occurrence that began in silence and is not suppressed any more."""
        if entry.rang or not entry.life.active or entry.life.suppressions:
            return None
        entry.rang = True
        return self.record(entry, Event.RAISE.value, now)

    def retire(self, entry: Entry, now: Now) -> Alarm:
        """Bring an alarm back to normal whose subject is not watched any more. It is an event where
        people were told of what it stands for."""
        standing = entry.life.occurrence is not AlarmState.NORM and entry.rang
        for event in (Event.ENABLE, Event.RELEASE, Event.UNSHELVE, Event.CLEAR):
            if entry.life.allows(event):
                entry.life = entry.life.step(event)
        entry.message = self.language.sentence_when_gone(entry.definition, entry.record.camera_id)
        return self.record(
            entry,
            Event.CLEAR.value if standing else INITIAL,
            now,
            quality=Quality.BAD,
            active_since_ms=0,
            shelved_until_ms=0,
            cleared_at_ms=now.utc_ms if entry.record.active else entry.record.cleared_at_ms,
        )

    def record(self, entry: Entry, transition: str, now: Now, **changes: Any) -> Alarm:
        """The record of an alarm as it is now, with these fields changed; it becomes its newest."""
        life, condition = entry.life, entry.condition
        suppressed = AlarmState.SUPPRESSED in life.suppressions
        reason = self.language.term(entry.suppressed_by(now.mono)) if suppressed else ""
        if condition is not None:
            changes = {
                "value": condition.value if math.isfinite(condition.value) else 0.0,
                "limit": condition.limit,
                "deadband": condition.deadband,
                "quality": condition.quality,
            } | changes
        changes = {"timestamp_ms": now.utc_ms, "captured_mono": 0.0, "quiet": False} | changes
        entry.record = replace(
            entry.record,
            state=life.state,
            active=life.active,
            acked=life.acked,
            shelved=AlarmState.SHELVED in life.suppressions,
            suppressed=suppressed,
            suppressed_by=reason,
            message=self.language.suppressed.format(message=entry.message, reason=reason)
            if reason
            else entry.message,
            transition=transition,
            **changes,
        )
        self.seq += entry.record.is_event
        entry.record = replace(entry.record, seq=self.seq)
        return entry.record


def _told(entry: Entry, event: Event) -> bool:
    """Whether people are told of what an event is about to change, which the entry remembers. Of
    what operators do they always are."""
    match event:
        case Event.RAISE:
            entry.rang = not entry.life.suppressions
            return entry.rang
        case Event.CLEAR | Event.CLEAR_UNACKED:
            return entry.rang
        case Event.ACK:
            entry.rang = True
        case Event.SUPPRESS:
            entry.suppression_told = entry.rang and entry.life.occurrence is not AlarmState.NORM
            return entry.suppression_told
        case Event.RELEASE:
            return entry.suppression_told
    return True
