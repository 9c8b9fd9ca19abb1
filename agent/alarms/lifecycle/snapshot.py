"""The state of the alarm manager as JSON types, which survives a restart.

Durations are written as the wall clock at which they end, because a monotonic clock means nothing
to another process; delays that were running begin anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from agent.alarms.catalogue import BY_CAUSE, Cause
from agent.alarms.lifecycle.entry import Entry
from agent.alarms.lifecycle.lifecycle import Life
from agent.alarms.lifecycle.timing import CHATTER_QUIET_S
from agent.records import Alarm, AlarmState, Quality

VERSION = 1


@dataclass(frozen=True, slots=True)
class Now:
    """One moment on both clocks: monotonic seconds for durations, Unix milliseconds for stamps."""

    mono: float
    utc_ms: int


class SnapshotError(Exception):
    """A state that cannot be restored; the text names the place."""


def export_state(entries: Iterable[Entry], seq: int, occurrences: int, now: Now) -> dict[str, Any]:
    """Return entries as JSON types, with the two counters that must not start again: no sequence
    number and no id comes twice."""
    return {
        "version": VERSION,
        "seq": seq,
        "occurrences": occurrences,
        "alarms": [_export_entry(entry, now) for entry in entries],
    }


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", defer_build=True)


class _SavedAlarm(_Part):
    """What ``_export_entry`` writes. Earlier versions wrote no message of their own, and did not
    say who took an alarm out of service: it is annunciated then, rather than suppressed for ever.
    They told of every occurrence and suppression.
    """

    cause: Cause
    occurrence: Literal[AlarmState.NORM, AlarmState.UNACK, AlarmState.ACKED, AlarmState.RTN_UNACK]
    covers: tuple[
        Literal[AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT_OF_SERVICE], ...
    ] = ()
    message: str | None = None
    out_by_configuration: bool = True
    rang: bool = True
    suppression_told: bool = True
    shelved_until_ms: NonNegativeInt
    chatter_until_ms: NonNegativeInt
    record: Alarm

    def entry(self, now: Now, shelve_max_s: float) -> Entry:
        life = Life(self.occurrence, frozenset(self.covers))
        entry = Entry(BY_CAUSE[self.cause], replace(self.record, quality=Quality.BAD), life)
        entry.message = self.record.message if self.message is None else self.message
        entry.rang, entry.suppression_told = self.rang, self.suppression_told
        out = AlarmState.OUT_OF_SERVICE in life.suppressions
        entry.out_by_configuration = self.out_by_configuration and out
        shelved_s = max(0, self.shelved_until_ms - now.utc_ms) / 1000
        entry.shelved_until_mono = now.mono + min(shelved_s, shelve_max_s)
        chatter_s = max(0, self.chatter_until_ms - now.utc_ms) / 1000
        entry.chatter.until_mono = now.mono + min(chatter_s, CHATTER_QUIET_S)
        return entry


class _SavedState(_Part):
    """What ``export_state`` writes."""

    version: Literal[1]
    seq: NonNegativeInt
    occurrences: NonNegativeInt
    alarms: list[_SavedAlarm]


def restore_state(exported: object, now: Now, shelve_max_s: float) -> tuple[int, int, list[Entry]]:
    """Read what ``export_state`` wrote: both counters and the entries. ``SnapshotError`` for
    anything else.

    Every restored alarm has quality bad until its condition is judged again. No shelving lasts
    longer than a command may ask for, however the wall clock was set meanwhile.
    """
    # The reason of a fault may hold bytes of a path that are no UTF-8, which pydantic refuses.
    text = json.dumps(exported, ensure_ascii=False).encode(errors="replace")
    try:
        saved = _SavedState.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in ("alarm state", *first["loc"]))
        raise SnapshotError(f"{place}: {first['msg']}") from error
    return saved.seq, saved.occurrences, [one.entry(now, shelve_max_s) for one in saved.alarms]


def _export_entry(entry: Entry, now: Now) -> dict[str, Any]:
    return {
        "cause": entry.definition.cause.value,
        "occurrence": entry.life.occurrence.value,
        "covers": sorted(one.value for one in entry.life.suppressions),
        "message": entry.message,
        "out_by_configuration": entry.out_by_configuration,
        "rang": entry.rang,
        "suppression_told": entry.suppression_told,
        "shelved_until_ms": entry.record.shelved_until_ms,
        "chatter_until_ms": now.utc_ms + round((entry.chatter.until_mono - now.mono) * 1000)
        if entry.chatter.going_on(now.mono)
        else 0,
        "record": asdict(entry.record),
    }
