"""The history behind the page: minutes and occurrences as they come about and are shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from agent.alarms.catalogue import Cause
from agent.alarms.level import Judged
from agent.records import Alarm, AlarmState, Quality
from agent.storage.history import HOURS, OCCURRENCES_MAX, History, Minute, Occurrence

SHOWN_MAX = 50
MARKS_MAX = 200
"""Marks of one lane: more on one chart are a bar."""
MINUTE_S = 60.0
SAMPLE_S = 1.0
LATE_S = 1.5 * MINUTE_S
"""What a minute covers at most: a process that was stopped for longer has seen nothing of it."""
FIGURES = {
    Cause.NO_READ_RATE: "no_read",
    Cause.FOREGROUND_INSENSITIVE: "foreground",
    Cause.BACKGROUND_RELIANCE: "reliance",
}
RECORD_FIELDS = (
    "alarm_id", "title", "camera_id", "priority", "severity", "message", "acked_by", "acked_at_ms",
    "comment",
)  # fmt: skip

Levels = Mapping[str, Mapping[Cause, Judged]]
Books = Mapping[str, tuple[int, int]]
"""Fruit and fruit without an angle since the start, by lane."""


class Minutes:
    """Gathers a minute of every lane. Pure: fed the time (seconds of this run of the computer).

    Of what an alarm compares the worst of the minute is kept, and only while the alarm goes by it:
    while the machine stands, or nothing is explained, there is no number.
    """

    def __init__(self, books: Books, now: float) -> None:
        self._begin(books, now)

    def sample(self, levels: Levels) -> None:
        """Look at what each lane's limits were compared with."""
        for lane, judged in levels.items():
            for cause, name in FIGURES.items():
                one = judged.get(cause)
                if one is None or one.quality is not Quality.GOOD:
                    continue
                level, worst = one.level, self._worst.setdefault(lane, {})
                if not math.isfinite(level.value):
                    continue
                pick = min if level.low else max
                worst[name] = pick(worst.get(name, level.value), level.value)
                worst[f"{name}_limit"] = level.limit

    def due(self, now: float) -> bool:
        """Whether the minute is over."""
        return now - self._from >= MINUTE_S

    def take(self, books: Books, now: float) -> list[Minute]:
        """Return the minute of every lane, and begin the next."""
        seconds = min(now - self._from, LATE_S)
        rows = []
        for lane, (fruit, unread) in books.items():
            fruit_before, unread_before = self._books.get(lane, (0, 0))
            figures = {name: round(value, 4) for name, value in self._worst.get(lane, {}).items()}
            # A lane that was away meanwhile counts from 0 again.
            figures["fruit"] = max(0, fruit - fruit_before)
            figures["unread"] = max(0, unread - unread_before)
            rows.append(Minute(lane, now, seconds, figures))
        self._begin(books, now)
        return rows

    def _begin(self, books: Books, now: float) -> None:
        self._from = now
        self._books = dict(books)
        self._worst: dict[str, dict[str, float]] = {}


class Occurrences:
    """The newest occurrence of every alarm, as far as people were told of it. Pure."""

    def __init__(self) -> None:
        self._newest: dict[str, Occurrence] = {}
        self.lasting: frozenset[str] = frozenset()
        """Ids of those that have not ended; replaced, never changed."""

    def restore(self, open_ones: Sequence[Occurrence], alarms: Sequence[Alarm]) -> list[Occurrence]:
        """Take up what an earlier start left; return what has changed meanwhile.

        An occurrence whose end nobody saw has no duration. One that is not known, as after an
        upgrade, begins when its alarm says.
        """
        changed = []
        known = {one.event_id: one for one in open_ones}
        for alarm in alarms:
            one = known.pop(alarm.event_id, None) if alarm.event_id else None
            if one is not None:
                if not alarm.active:
                    seen = alarm.cleared_at_ms >= one.utc_ms
                    length_s = (alarm.cleared_at_ms - one.utc_ms) / 1000 if seen else None
                    one = replace(one, lasts=False, duration_s=length_s)
                    changed.append(one)
                self._put(alarm, one)
            elif alarm.active and alarm.state in (AlarmState.UNACK, AlarmState.ACKED):
                begun = Occurrence(alarm.event_id, alarm.active_since_ms, None, lasts=True)
                changed.append(self._put(alarm, begun))
        return changed + [replace(one, lasts=False) for one in known.values()]

    def take(self, alarm: Alarm, now: float, utc_ms: int) -> Occurrence | None:
        """Take one transition; return the occurrence where it changes one."""
        if not alarm.event_id or not alarm.is_event:
            return None
        one = self._newest.get(alarm.alarm_id)
        if one is None or one.event_id != alarm.event_id:
            if not alarm.active:
                return None  # people were told of none, or it is forgotten
            age_s = max(0.0, (utc_ms - alarm.active_since_ms) / 1000)
            one = Occurrence(alarm.event_id, alarm.active_since_ms, now - age_s, lasts=True)
        if one.lasts and not alarm.active:
            length_s = now - one.mono if one.mono is not None else (utc_ms - one.utc_ms) / 1000
            one = replace(one, lasts=False, duration_s=max(0.0, round(length_s, 1)))
        return self._put(alarm, one)

    def _put(self, alarm: Alarm, one: Occurrence) -> Occurrence:
        """Enter what the alarm says now; the sentence stays that of its beginning."""
        said = {name: getattr(alarm, name) for name in RECORD_FIELDS}
        if "message" in one.record:
            said["message"] = one.record["message"]
        found = self._newest[alarm.alarm_id] = replace(one, record=said)
        self.lasting = frozenset(one.event_id for one in self._newest.values() if one.lasts)
        return found


class HistoryKeeper:
    """Writes the history; ``note`` and ``tick`` are for the thread of the alarms, the rest for any.

    ``devices``: the camera of each lane; ``books`` are read once a minute.
    """

    def __init__(
        self, history: History, devices: Mapping[str, str], books: Callable[[], Books]
    ) -> None:
        self._history = history
        self._devices = devices
        self._books = books
        self._elapsed, self._utc_ms = history.clocks.elapsed, history.clocks.utc_ms
        self._occurrences = Occurrences()
        self._minutes = Minutes(dict.fromkeys(devices, (0, 0)), self._elapsed())
        self._sample_mono = -math.inf

    def change_lanes(self, devices: Mapping[str, str]) -> None:
        """Go on with these lanes and their cameras."""
        self._devices = devices

    def restore(self, alarms: Sequence[Alarm]) -> None:
        """Take up the alarms of an earlier start."""
        lasting = [one for one in self._history.occurrences(OCCURRENCES_MAX) if one.lasts]
        changed = self._occurrences.restore(lasting, alarms)
        if changed:
            self._history.note(changed)

    def note(self, alarms: Sequence[Alarm]) -> None:
        """Remember transitions that are committed."""
        now, utc_ms = self._elapsed(), self._utc_ms()
        taken = [self._occurrences.take(alarm, now, utc_ms) for alarm in alarms]
        newest = {one.event_id: one for one in taken if one is not None}
        if newest:
            self._history.note(list(newest.values()))

    def tick(self, levels: Levels) -> None:
        """Look at the levels once a second, and write once a minute."""
        now = self._elapsed()
        if 0 <= now - self._sample_mono < SAMPLE_S:
            return
        self._sample_mono = now
        self._minutes.sample(levels)
        if self._minutes.due(now):
            self.write()

    def write(self) -> None:
        """Write what there is of the minute."""
        self._history.add(self._minutes.take(self._books(), self._elapsed()))

    # --- for the page ----------------------------------------------------------------------------

    def lane(self, lane: str) -> Mapping[str, object]:
        """Return the last hours of a lane as JSON types: columns of one length, oldest first."""
        rows = self._history.minutes(lane)
        figures = ("no_read", "foreground", "reliance")
        subjects = {lane, self._devices.get(lane, lane)}
        marks = self._history.occurrences(MARKS_MAX, within_s=3600.0 * HOURS)
        return {
            "camera": lane,
            "hours": HOURS,
            "end_s": [round(row.end_utc_ms / 1000) for row in rows],
            "seconds": [round(row.seconds) for row in rows],
            **{
                name: [row.figures.get(name) for row in rows]
                for figure in figures
                for name in (figure, f"{figure}_limit")
            },
            "fruit": [row.figures.get("fruit") for row in rows],
            "alarms": [
                self._shown(one) for one in marks if one.record.get("camera_id") in subjects
            ],
        }

    def alarms(self) -> Mapping[str, object]:
        """Return the newest occurrences of all alarms as JSON types, newest first."""
        return {"alarms": [self._shown(one) for one in self._history.occurrences(SHOWN_MAX)]}

    def _shown(self, one: Occurrence) -> Mapping[str, object]:
        return {
            **one.record,
            "event_id": one.event_id,
            "began_ms": one.utc_ms,
            "lasts": one.event_id in self._occurrences.lasting,
            "duration_s": one.duration_s,
            "evidence": one.evidence,
        }
