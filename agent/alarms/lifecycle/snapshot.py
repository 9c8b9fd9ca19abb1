"""The state of the alarm manager as JSON types, which survives a restart.

Durations are written as the wall clock at which they end, because a monotonic clock means nothing
to another process; delays that were running begin anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from agent.alarms.catalogue import BY_CAUSE, Cause
from agent.alarms.lifecycle.entry import Entry
from agent.alarms.lifecycle.lifecycle import Life
from agent.alarms.lifecycle.timing import CHATTER_QUIET_S
from agent.records import Alarm, AlarmState, Quality

VERSION = 1

_OCCURRENCES = (AlarmState.NORM, AlarmState.UNACK, AlarmState.ACKED, AlarmState.RTN_UNACK)

_KINDS: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
}


@dataclass(frozen=True, slots=True)
class Now:
    """One moment on both clocks: monotonic seconds for durations, Unix milliseconds for stamps."""

    mono: float
    utc_ms: int


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters that must not start again, so that no id and no sequence number comes twice."""

    seq: int
    occurrences: int


class SnapshotError(Exception):
    """A state that cannot be restored; the text names the place."""


def export_state(entries: Iterable[Entry], counts: Counters, now: Now) -> dict[str, Any]:
    """Return entries and counters as JSON types."""
    return {
        "version": VERSION,
        "seq": counts.seq,
        "occurrences": counts.occurrences,
        "alarms": [_export_entry(entry, now) for entry in entries],
    }


def restore_state(
    exported: object, alarm_ids: Collection[str], now: Now, shelve_max_s: float
) -> tuple[Counters, list[Entry]]:
    """Read what ``export_state`` wrote, of ``alarm_ids`` only; ``SnapshotError`` for anything else.

    Every restored alarm has quality bad until its condition is judged again. No shelving lasts
    longer than a command may ask for, however the wall clock was set meanwhile.
    """
    if not isinstance(exported, Mapping) or exported.get("version") != VERSION:
        raise SnapshotError(f"alarm state: not of version {VERSION}")
    counts = Counters(
        _whole(exported, "seq", "alarm state"), _whole(exported, "occurrences", "alarm state")
    )
    alarms = exported.get("alarms")
    if not isinstance(alarms, list):
        raise SnapshotError("alarm state: alarms is not a list")
    entries = [_restore_entry(i, item, now) for i, item in enumerate(alarms)]
    for entry in entries:
        longest = now.mono + shelve_max_s
        entry.shelved_until_mono = min(entry.shelved_until_mono, longest)
        entry.chatter.until_mono = min(entry.chatter.until_mono, now.mono + CHATTER_QUIET_S)
    return counts, [entry for entry in entries if entry.record.alarm_id in alarm_ids]


def _export_entry(entry: Entry, now: Now) -> dict[str, Any]:
    return {
        "cause": entry.definition.cause.value,
        "occurrence": entry.life.occurrence.value,
        "covers": sorted(one.value for one in entry.life.suppressions),
        "message": entry.message,
        "out_by_configuration": entry.out_by_configuration,
        "shelved_until_ms": entry.record.shelved_until_ms,
        "chatter_until_ms": now.utc_ms + round((entry.chatter.until_mono - now.mono) * 1000)
        if entry.chatter.going_on(now.mono)
        else 0,
        "record": asdict(entry.record),
    }


def _restore_entry(index: int, item: object, now: Now) -> Entry:
    place = f"alarm state: alarms[{index}]"
    if not isinstance(item, Mapping) or not isinstance(item.get("record"), Mapping):
        raise SnapshotError(f"{place}: not an alarm")
    try:
        definition = BY_CAUSE[Cause(str(item.get("cause")))]
        life = Life(
            AlarmState(str(item.get("occurrence"))),
            frozenset(AlarmState(one) for one in item.get("covers", ())),
        )
        record = _record(item["record"])
    except (KeyError, TypeError, ValueError) as error:
        raise SnapshotError(f"{place}: {error}") from error
    if life.occurrence not in _OCCURRENCES or life.suppressions & set(_OCCURRENCES):
        raise SnapshotError(f"{place}: a state in the wrong place")
    entry = Entry(definition, replace(record, quality=Quality.BAD), life)
    entry.message = str(item.get("message", record.message))
    # A state that does not say who took it out: annunciated rather than suppressed for ever.
    by_configuration = item.get("out_by_configuration", True)
    if not isinstance(by_configuration, bool):
        raise SnapshotError(f"{place}: out_by_configuration is neither true nor false")
    entry.out_by_configuration = by_configuration and AlarmState.OUT_OF_SERVICE in life.suppressions
    shelved_ms = _whole(item, "shelved_until_ms", place)
    entry.shelved_until_mono = now.mono + max(0, shelved_ms - now.utc_ms) / 1000
    chatter_ms = _whole(item, "chatter_until_ms", place)
    entry.chatter.until_mono = now.mono + max(0, chatter_ms - now.utc_ms) / 1000
    return entry


def _record(raw: Mapping[str, Any]) -> Alarm:
    """``TypeError`` or ``ValueError`` for a record with a missing key or one of another type."""
    values = dict(raw)
    for each in fields(Alarm):
        value = values.setdefault(each.name, each.default)
        kinds = _KINDS.get(str(each.type), (object,))
        wrong = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
        if wrong and kinds != (object,):
            raise TypeError(f"record.{each.name} is {type(value).__name__}, not {each.type}")
    values["state"] = AlarmState(str(values["state"]))
    values["quality"] = Quality(str(values["quality"]))
    return Alarm(**values)


def _whole(item: Mapping[str, Any], key: str, place: str) -> int:
    value = item.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise SnapshotError(f"{place}: {key} is not a whole number from 0")
    return value
