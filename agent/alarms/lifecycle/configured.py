"""One alarm as the configuration has it: its beginning, its words, whether it is in service."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from agent.alarms.catalogue import BY_CAUSE, Cause
from agent.alarms.condition import Condition
from agent.alarms.lifecycle.entry import Entry, blank_record
from agent.alarms.lifecycle.lifecycle import Event
from agent.alarms.lifecycle.recorder import INITIAL, Recorder
from agent.alarms.lifecycle.snapshot import Now
from agent.alarms.text.language import Language
from agent.records import Alarm, AlarmState


def new_entry(condition: Condition, source: str, language: Language) -> Entry:
    """Return an alarm that has never occurred, of the subject of its first condition."""
    definition = BY_CAUSE[Cause(condition.cause)]
    blank = blank_record(definition, condition.subject, source, language)
    entry = Entry(definition, replace(blank, quality=condition.quality))
    entry.message = blank.message
    return entry


def say_normal(entry: Entry, language: Language) -> None:
    """Put the sentence of an alarm that is normal into its record."""
    entry.message = language.sentence_when_normal(entry.definition, entry.record.camera_id)
    entry.record = replace(entry.record, message=entry.message)


def title_anew(entry: Entry, language: Language) -> None:
    """The title in a language that may be another one, and the sentence of what is normal."""
    entry.record = replace(entry.record, title=language.title(entry.definition))
    if entry.life.state is AlarmState.NORM:
        say_normal(entry, language)


def said_anew(entry: Entry, language: Language, recorder: Recorder, now: Now) -> Alarm:
    """Return the state in another language: no event."""
    title_anew(entry, language)
    if entry.life.active and entry.condition is not None:
        entry.message = language.sentence(entry.definition, entry.condition)
    elif entry.life.state is not AlarmState.NORM:
        subject = entry.record.camera_id
        entry.message = language.sentence_when_cleared(entry.definition, subject)
    entry.record = replace(entry.record, message=entry.message)
    return recorder.record(entry, INITIAL, now)


def in_service(
    entry: Entry,
    condition: Condition,
    out_of_service: Collection[str],
    recorder: Recorder,
    now: Now,
) -> list[Alarm]:
    """Put an alarm out of service, or back into it, as the configuration says now."""
    listed = {condition.alarm_id, condition.cause} & set(out_of_service)
    if listed and entry.life.allows(Event.DISABLE):
        entry.out_by_configuration = True
        return [recorder.step(entry, Event.DISABLE, now)]
    if not listed and entry.out_by_configuration:
        entry.out_by_configuration = False
        if entry.life.allows(Event.ENABLE):
            return [recorder.step(entry, Event.ENABLE, now)]
    return []
