"""One alarm of the manager: its definition, its state, and its newest record."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.alarms.catalogue import Definition
from agent.alarms.condition import Condition
from agent.alarms.lifecycle.lifecycle import Life
from agent.alarms.lifecycle.timing import Chatter, Delay
from agent.alarms.text.language import Language
from agent.records import Alarm, AlarmState, Quality

CHATTER_REASON = "it came and went three times within a minute; ten quiet minutes end this"


@dataclass(slots=True)
class Entry:
    """``record`` was published last; ``condition`` was judged last, None before the first.

    ``rang``: the occurrence was told of, when it began or when its suppression ended; a clearing is
    told of only then. ``suppression_told``: so was the beginning of its suppression by design.
    ``out_by_configuration``: the configuration took it out of service, and it returns to service
    once the configuration no longer lists it. One that a command took out waits for a command.
    """

    definition: Definition
    record: Alarm
    life: Life = field(default_factory=Life)
    condition: Condition | None = None
    delay: Delay = field(default_factory=Delay)
    chatter: Chatter = field(default_factory=Chatter)
    shelved_until_mono: float = 0.0
    rang: bool = True
    suppression_told: bool = True
    out_by_configuration: bool = False
    message: str = ""

    def suppressed_by(self, now: float) -> str:
        """Why it is suppressed by design now; empty when it is not.

        After a restart, what was suppressed stays so until its condition is judged again.
        """
        if self.condition is None and AlarmState.SUPPRESSED in self.life.suppressions:
            return self.record.suppressed_by or "not heard of since the restart"
        if self.condition is not None and self.condition.suppressed_by:
            return self.condition.suppressed_by
        return CHATTER_REASON if self.chatter.going_on(now) else ""


def blank_record(definition: Definition, subject: str, source: str, language: Language) -> Alarm:
    """The record of an alarm that has never occurred."""
    return Alarm(
        alarm_id=f"{definition.cause}-{subject}",
        title=language.title(definition),
        source=source,
        camera_id=subject,
        event_id="",
        state=AlarmState.NORM,
        active=False,
        acked=True,
        shelved=False,
        suppressed=False,
        severity=definition.severity,
        priority=definition.priority,
        message=language.sentence_when_normal(definition, subject),
        value=0.0,
        limit=0.0,
        deadband=0.0,
        unit=definition.unit,
        quality=Quality.BAD,
        count=0,
        active_since_ms=0,
        cleared_at_ms=0,
        acked_at_ms=0,
        shelved_until_ms=0,
        acked_by="",
        comment="",
        evidence_topic="",
        evidence_url="",
        frame_id="",
        model="",
        on_delay_s=definition.on_delay_s,
        off_delay_s=definition.off_delay_s,
        timestamp_ms=0,
        transition="",
        seq=0,
    )


def short_text(text: str, longest: int) -> str:
    """What a person wrote: printable, on one line, and not longer than that."""
    return "".join(c if c.isprintable() else " " for c in text)[:longest].strip()
