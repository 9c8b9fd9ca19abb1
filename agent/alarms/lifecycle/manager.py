"""All alarms of one agent: conditions, commands and time in, records of transitions out."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from agent import config
from agent.alarms.condition import Condition
from agent.alarms.lifecycle.configured import (
    in_service,
    new_entry,
    said_anew,
    say_normal,
    title_anew,
)
from agent.alarms.lifecycle.entry import Entry, short_text
from agent.alarms.lifecycle.lifecycle import Event
from agent.alarms.lifecycle.recorder import COMMENT, INITIAL, QUALITY, Recorder
from agent.alarms.lifecycle.snapshot import Now, export_state, restore_state
from agent.alarms.text.languages import LANGUAGES
from agent.nearest import nearest
from agent.records import Alarm, AlarmState, CommandOutcome, CommandResult
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

GONE_MAX = 1000
"""Alarms of cameras that are gone and of which no broker was told: more come of no plant."""
COMMENT_LENGTH, USER_LENGTH = 200, 60


class AlarmManager:
    """Methods that change alarms return the records of their transitions, in order.

    ``source`` names this agent to SCADA, ``session`` this start of it. An ``event_id`` is made of
    the session and the number of the occurrence, so that none comes twice.
    """

    def __init__(self, settings: config.Alarms, source: str, session: str) -> None:
        self._settings = settings
        self._language = LANGUAGES[settings.language]
        self._recorder = Recorder(self._language)
        self._source = source
        self._session = session
        self._entries: dict[str, Entry] = {}
        self._gone: dict[str, Entry] = {}  # of an earlier start, watched no more; all normal
        self._occurrences = 0

    # --- conditions and time ---------------------------------------------------------------------

    def update(self, condition: Condition, now_mono: float, now_utc_ms: int) -> list[Alarm]:
        """Judge one condition. The first one of a new alarm makes a record of its normal state."""
        now = Now(now_mono, now_utc_ms)
        records: list[Alarm] = []
        entry = self._entries.get(condition.alarm_id)
        if entry is None:
            entry = self._revived(condition) or new_entry(condition, self._source, self._language)
            self._entries[condition.alarm_id] = entry
            records.append(self._recorder.record(entry, INITIAL, now))
        first, entry.condition = entry.condition is None, condition
        if first:
            out = self._settings.out_of_service
            records += in_service(entry, condition, out, self._recorder, now)
        if condition.quality is not entry.record.quality:
            records.append(self._recorder.record(entry, QUALITY, now))
        return records + self._judge(entry, now)

    def tick(self, now_mono: float, now_utc_ms: int) -> list[Alarm]:
        """Apply the time: delays, the end of shelving and of chattering."""
        now = Now(now_mono, now_utc_ms)
        records: list[Alarm] = []
        for entry in self._entries.values():
            shelved = AlarmState.SHELVED in entry.life.suppressions
            if shelved and now.mono >= entry.shelved_until_mono:
                records.append(self._recorder.step(entry, Event.UNSHELVE, now, shelved_until_ms=0))
            records += self._judge(entry, now)
        return records

    def current(self) -> tuple[Alarm, ...]:
        """The newest record of every alarm, in the order of their first conditions."""
        return tuple(entry.record for entry in self._entries.values())

    def unavailable(self) -> frozenset[str]:
        """Ids of the alarms that are shelved or out of service."""
        return frozenset(
            alarm_id
            for alarm_id, entry in self._entries.items()
            if entry.life.suppressions & {AlarmState.SHELVED, AlarmState.OUT_OF_SERVICE}
        )

    def _judge(self, entry: Entry, now: Now) -> list[Alarm]:
        """Suppression begins before the occurrence changes and ends after it, so that an alarm is
        not annunciated for a moment in between."""
        records: list[Alarm] = []
        if entry.suppressed_by(now.mono) and AlarmState.SUPPRESSED not in entry.life.suppressions:
            records.append(self._recorder.step(entry, Event.SUPPRESS, now))
        condition = entry.condition
        if condition is not None and entry.delay.due(
            entry.definition, condition, entry.life.active, now.mono
        ):
            if entry.life.active:
                records.append(self._clear(entry, condition, now))
            else:
                records += self._raise(entry, condition, now)
        suppressed = AlarmState.SUPPRESSED in entry.life.suppressions
        if suppressed and not entry.suppressed_by(now.mono):
            records.append(self._recorder.step(entry, Event.RELEASE, now))
        rings = self._recorder.ring(entry, now)
        return [*records, rings] if rings is not None else records

    def _raise(self, entry: Entry, condition: Condition, now: Now) -> list[Alarm]:
        self._occurrences += 1
        entry.chatter.on_raise(now.mono)
        entry.message = self._language.sentence(entry.definition, condition)
        raised = self._recorder.step(
            entry,
            Event.RAISE,
            now,
            event_id=f"{self._session}-{self._occurrences}",
            count=entry.record.count + 1,
            active_since_ms=now.utc_ms,
            cleared_at_ms=0,
            acked_at_ms=0,
            acked_by="",
            comment="",
            frame_id=condition.frame_id,
            model=condition.model,
            captured_mono=condition.captured_mono,
            timestamp_ms=condition.captured_utc_ms or now.utc_ms,
        )
        chatters = entry.chatter.going_on(now.mono)
        if chatters and AlarmState.SUPPRESSED not in entry.life.suppressions:
            return [raised, self._recorder.step(entry, Event.SUPPRESS, now)]
        return [raised]

    def _clear(self, entry: Entry, condition: Condition, now: Now) -> Alarm:
        waits = self._settings.ack_mode == "operator" and entry.rang
        must_wait = waits and not entry.life.acked
        entry.message = self._language.sentence_when_cleared(entry.definition, condition.subject)
        return self._recorder.step(
            entry,
            Event.CLEAR_UNACKED if must_wait else Event.CLEAR,
            now,
            active_since_ms=0,
            cleared_at_ms=now.utc_ms,
            captured_mono=condition.captured_mono,
            timestamp_ms=condition.captured_utc_ms or now.utc_ms,
        )

    # --- commands --------------------------------------------------------------------------------

    def acknowledge(
        self, alarm_id: str, event_id: str, user: str, now_mono: float, now_utc_ms: int
    ) -> CommandResult:
        """Acknowledge one occurrence, which the command must name."""
        now = Now(now_mono, now_utc_ms)
        entry = self._entries.get(alarm_id)
        if entry is not None and (not event_id or event_id != entry.record.event_id):
            return self._answer("ack", alarm_id, user, CommandOutcome.STALE)
        by = {"acked_at_ms": now.utc_ms, "acked_by": short_text(user, USER_LENGTH)}
        return self._step("ack", Event.ACK, alarm_id, user, now, **by)

    def shelve(
        self,
        alarm_id: str,
        duration_s: float,
        user: str,
        now_mono: float,
        now_utc_ms: int,
        event_id: str = "",
    ) -> CommandResult:
        """Suppress the annunciation for a time, which ends by itself; again: for another time.

        With an ``event_id`` only while that is the newest occurrence.
        """
        now = Now(now_mono, now_utc_ms)
        entry = self._entries.get(alarm_id)
        if entry is None:
            return self._answer("shelve", alarm_id, user, CommandOutcome.UNKNOWN)
        if event_id not in ("", entry.record.event_id):
            return self._answer("shelve", alarm_id, user, CommandOutcome.STALE)
        longest_s = self._settings.shelve_max_s
        if not 0 < duration_s <= longest_s:
            detail = f"duration must be above 0 and at most {longest_s:g} seconds"
            return self._answer("shelve", alarm_id, user, CommandOutcome.REFUSED, detail=detail)
        entry.shelved_until_mono = now.mono + duration_s
        until_ms = now.utc_ms + math.ceil(duration_s * 1000)
        record = self._recorder.step(entry, Event.SHELVE, now, shelved_until_ms=until_ms)
        return self._answer("shelve", alarm_id, user, CommandOutcome.DONE, record)

    def unshelve(
        self, alarm_id: str, user: str, now_mono: float, now_utc_ms: int, event_id: str = ""
    ) -> CommandResult:
        now = Now(now_mono, now_utc_ms)
        entry = self._entries.get(alarm_id)
        if entry is not None and event_id not in ("", entry.record.event_id):
            return self._answer("unshelve", alarm_id, user, CommandOutcome.STALE)
        return self._step("unshelve", Event.UNSHELVE, alarm_id, user, now, shelved_until_ms=0)

    def take_out_of_service(
        self, alarm_id: str, user: str, now_mono: float, now_utc_ms: int
    ) -> CommandResult:
        """Suppress the annunciation until the alarm is put back into service."""
        return self._step("disable", Event.DISABLE, alarm_id, user, Now(now_mono, now_utc_ms))

    def put_into_service(
        self, alarm_id: str, user: str, now_mono: float, now_utc_ms: int
    ) -> CommandResult:
        return self._step("enable", Event.ENABLE, alarm_id, user, Now(now_mono, now_utc_ms))

    def comment(
        self, alarm_id: str, event_id: str, text: str, now_mono: float, now_utc_ms: int
    ) -> CommandResult:
        """Store an operator's comment on one occurrence; a later one replaces it."""
        entry = self._entries.get(alarm_id)
        if entry is None:
            return self._answer("comment", alarm_id, "", CommandOutcome.UNKNOWN)
        if not event_id or event_id != entry.record.event_id:
            return self._answer("comment", alarm_id, "", CommandOutcome.STALE)
        words = short_text(text, COMMENT_LENGTH)
        if words == entry.record.comment:
            return self._answer("comment", alarm_id, "", CommandOutcome.ALREADY)
        record = self._recorder.record(entry, COMMENT, Now(now_mono, now_utc_ms), comment=words)
        return self._answer("comment", alarm_id, "", CommandOutcome.DONE, record)

    def _step(
        self, command: str, event: Event, alarm_id: str, user: str, now: Now, **changes: Any
    ) -> CommandResult:
        """Change the state of an alarm as a command asks, where it has an edge for that."""
        entry = self._entries.get(alarm_id)
        if entry is None:
            return self._answer(command, alarm_id, user, CommandOutcome.UNKNOWN)
        if not entry.life.allows(event):
            return self._answer(command, alarm_id, user, CommandOutcome.ALREADY)
        if event is Event.ENABLE:
            entry.out_by_configuration = False
        record = self._recorder.step(entry, event, now, **changes)
        return self._answer(command, alarm_id, user, CommandOutcome.DONE, record)

    def _answer(
        self,
        command: str,
        alarm_id: str,
        user: str,
        outcome: CommandOutcome,
        *records: Alarm,
        detail: str = "",
    ) -> CommandResult:
        log_event(
            logger,
            logging.INFO,
            "alarm_command",
            command=command,
            alarm=short_text(alarm_id, USER_LENGTH),
            user=short_text(user, USER_LENGTH),
            outcome=outcome.value,
        )
        if outcome is CommandOutcome.UNKNOWN and (near := nearest(alarm_id, self._entries)):
            detail = f"did you mean {near}?"
        return CommandResult(outcome, records, detail)

    # --- what survives a restart -----------------------------------------------------------------

    def export(
        self, now_mono: float, now_utc_ms: int, alarm_ids: Collection[str] | None = None
    ) -> dict[str, Any]:
        """Everything that a later start needs, as JSON types; of ``alarm_ids`` only, if given."""
        entries = [*self._entries.values(), *self._gone.values()]
        return export_state(
            entries
            if alarm_ids is None
            else [e for e in entries if e.record.alarm_id in alarm_ids],
            self._recorder.seq,
            self._occurrences,
            Now(now_mono, now_utc_ms),
        )

    def restore(
        self,
        exported: object,
        alarm_ids: Collection[str],
        now_mono: float,
        now_utc_ms: int,
    ) -> None:
        """Restore an earlier start's state, before the first update.

        An alarm that is none of ``alarm_ids``, as of a lane that is no longer configured, would
        stay for ever: it waits for ``retire``. ``SnapshotError`` names what does not fit, and the
        manager stays empty.
        """
        now = Now(now_mono, now_utc_ms)
        self._recorder.seq, self._occurrences, entries = restore_state(
            exported, now, self._settings.shelve_max_s
        )
        for entry in entries:  # another language may have been chosen meanwhile
            title_anew(entry, self._language)
        by_id = {entry.record.alarm_id: entry for entry in entries}
        self._entries = {key: entry for key, entry in by_id.items() if key in alarm_ids}
        gone = [(key, entry) for key, entry in by_id.items() if key not in alarm_ids]
        self._gone = dict(gone[-GONE_MAX:])

    def retire(self, now_mono: float, now_utc_ms: int) -> list[Alarm]:
        """Bring what is watched no more back to normal; again, it only says so. Each is exported
        until ``forget``."""
        now = Now(now_mono, now_utc_ms)
        return [self._recorder.retire(entry, now) for entry in self._gone.values()]

    def forget(self, alarm_id: str) -> bool:
        """Forget an alarm that is watched no more; false for any other."""
        return self._gone.pop(alarm_id, None) is not None

    def _revived(self, condition: Condition) -> Entry | None:
        """One that was given up, and is watched after all: its counts go on."""
        entry = self._gone.pop(condition.alarm_id, None)
        if entry is not None:
            entry.record = replace(entry.record, quality=condition.quality)
            say_normal(entry, self._language)
        return entry

    # --- configuration ---------------------------------------------------------------------------

    def configure(
        self,
        settings: config.Alarms,
        alarm_ids: Collection[str],
        now_mono: float,
        now_utc_ms: int,
    ) -> list[Alarm]:
        """Go on with other settings; what is none of ``alarm_ids`` waits for ``retire``. Return the
        records of what has other words now, or went in or out of service."""
        now = Now(now_mono, now_utc_ms)
        in_other_words = settings.language != self._settings.language
        self._settings = settings
        gone = [(key, entry) for key, entry in self._entries.items() if key not in alarm_ids]
        self._entries = {key: one for key, one in self._entries.items() if key in alarm_ids}
        self._gone = dict([*self._gone.items(), *gone][-GONE_MAX:])
        records: list[Alarm] = []
        if in_other_words:
            self._language = self._recorder.language = LANGUAGES[settings.language]
            every = self._entries.values()
            records += [said_anew(one, self._language, self._recorder, now) for one in every]
        for entry in self._entries.values():
            if entry.condition is not None:
                out = settings.out_of_service
                records += in_service(entry, entry.condition, out, self._recorder, now)
        return records
