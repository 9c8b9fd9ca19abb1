"""What was before: each lane's last hours, a minute a row, and the newest occurrences of alarms.

Written through ``Database.post``: nobody waits for it, and it is never part of the transaction of
an alarm. A minute is known by the clock of this run of the computer; its Unix time follows when the
wall clock is set, and stays as it was once the computer has been started anew.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.storage.ages import boot_id
from agent.storage.database import Database
from agent.storage.jobs import Job
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

HOURS = 8
MINUTES_MAX = HOURS * 60
"""Rows of a lane; beyond them the oldest go."""
ROWS_MAX = 20_000
"""Of all lanes together, those of lanes that are gone included."""
OCCURRENCES_MAX = 500
STEPPED_MS = 2000
"""A clock that is further off has been set; less is drift, which nobody sees on the page."""
_TRUE_MS = "(:utc - CAST(1000 * (:now - mono) AS INTEGER))"
_UTC_MS = (
    f"CASE WHEN boot = :boot AND abs(utc_ms - {_TRUE_MS}) > :step THEN {_TRUE_MS} ELSE utc_ms END"
)


@dataclass(frozen=True, slots=True)
class Minute:
    """About a minute of one lane that ends at ``mono``, of which ``seconds`` were seen.

    ``figures``: JSON types by name; what nobody knew is missing.
    """

    lane: str
    mono: float
    seconds: float
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PastMinute:
    """A minute as it is read; ``end_utc_ms`` on the clock as it stands now."""

    end_utc_ms: int
    seconds: float
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One occurrence of an alarm that people were told of.

    ``mono``: when it began, None where only the wall clock of another run of the computer tells.
    ``duration_s`` None: it ``lasts``, or nobody saw its end. ``record`` holds JSON types.
    """

    event_id: str
    utc_ms: int
    mono: float | None
    lasts: bool
    duration_s: float | None = None
    record: Mapping[str, object] = field(default_factory=dict)
    evidence: bool = False  # its picture is in the database; known of what was read


@dataclass(frozen=True, slots=True)
class HistoryClocks:
    """``elapsed``: seconds of this run of the computer, its sleep included; ``utc_ms`` Unix time;
    ``synchronised``: whether the kernel vouches for it."""

    elapsed: Clock
    utc_ms: Callable[[], int]
    synchronised: Callable[[], bool]


class History:
    """The tables ``minute`` and ``occurrence``. What cannot be written is counted, and no more."""

    def __init__(
        self,
        database: Database,
        telemetry: Telemetry,
        clocks: HistoryClocks,
        boot: str | None = None,
    ) -> None:
        self.clocks = clocks
        self._database = database
        self._telemetry = telemetry
        self._boot = boot_id() if boot is None else boot

    def add(self, minutes: Sequence[Minute]) -> Job[None]:
        """Write the newest minute of every lane, and let go of what is too old or too much."""
        return self._post("minute", len(minutes), lambda connection: self._add(connection, minutes))

    def note(self, occurrences: Sequence[Occurrence]) -> Job[None]:
        """Write occurrences that have begun or changed."""
        return self._post(
            "alarm", len(occurrences), lambda connection: self._note(connection, occurrences)
        )

    def minutes(self, lane: str) -> list[PastMinute]:
        """Return the minutes of the last ``HOURS`` of a lane, oldest first."""
        rows = self._database.rows(
            f"SELECT {_UTC_MS} AS at, seconds, figures FROM minute "  # noqa: S608
            "WHERE lane = :lane AND at > :from AND at <= :until ORDER BY at, id",
            {**self._now(), "lane": lane, "from": self._oldest_ms(), "until": self._newest_ms()},
        )
        return [PastMinute(at, seconds, json.loads(figures)) for at, seconds, figures in rows]

    def occurrences(self, most: int, within_s: float | None = None) -> list[Occurrence]:
        """Return the newest occurrences, newest first; those that began ``within_s``, if given."""
        from_ms = 0 if within_s is None else self.clocks.utc_ms() - int(1000 * within_s)
        rows = self._database.rows(
            f"SELECT event_id, {_UTC_MS} AS at, CASE WHEN boot = :boot THEN mono END, lasts, "  # noqa: S608
            "duration_s, record, EXISTS (SELECT 1 FROM evidence e "
            "WHERE e.event_id = occurrence.event_id) "
            "FROM occurrence WHERE at >= :from ORDER BY id DESC LIMIT :most",
            {**self._now(), "from": from_ms, "most": most},
        )
        return [
            Occurrence(event_id, at, mono, bool(lasts), duration_s, json.loads(record), bool(seen))
            for event_id, at, mono, lasts, duration_s, record, seen in rows
        ]

    # --- the transactions ------------------------------------------------------------------------

    def _add(self, connection: sqlite3.Connection, minutes: Sequence[Minute]) -> None:
        now = self._now()
        for table in ("minute", "occurrence"):
            connection.execute(
                f"UPDATE {table} SET utc_ms = {_TRUE_MS} "  # noqa: S608
                f"WHERE boot = :boot AND abs(utc_ms - {_TRUE_MS}) > :step",
                now,
            )
        for one in minutes:
            connection.execute(
                "INSERT OR REPLACE INTO minute VALUES "  # noqa: S608
                f"(NULL, :lane, {_TRUE_MS.replace('mono', ':mono')}, :mono, :boot, :seconds, "
                ":figures)",
                {
                    **now,
                    "lane": one.lane,
                    "mono": one.mono,
                    "seconds": one.seconds,
                    "figures": json.dumps(one.figures, separators=(",", ":"), allow_nan=False),
                },
            )
            connection.execute(
                "DELETE FROM minute WHERE lane = ?1 AND id <= (SELECT id FROM minute "
                "WHERE lane = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                (one.lane, MINUTES_MAX),
            )
        connection.execute(
            "DELETE FROM minute WHERE id <= "
            "(SELECT id FROM minute ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (ROWS_MAX,),
        )
        if self.clocks.synchronised():  # a clock that is wrong makes nothing old
            connection.execute("DELETE FROM minute WHERE utc_ms <= ?", (self._oldest_ms(),))

    def _note(self, connection: sqlite3.Connection, occurrences: Sequence[Occurrence]) -> None:
        connection.executemany(
            "INSERT INTO occurrence VALUES (NULL, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) "
            "DO UPDATE SET lasts = excluded.lasts, duration_s = excluded.duration_s, "
            "record = excluded.record",
            [
                (
                    one.event_id,
                    one.utc_ms,
                    one.mono,
                    self._boot if one.mono is not None else "",
                    one.lasts,
                    one.duration_s,
                    json.dumps(one.record, separators=(",", ":")),
                )
                for one in occurrences
            ],
        )
        connection.execute(
            "DELETE FROM occurrence WHERE id <= "
            "(SELECT id FROM occurrence ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (OCCURRENCES_MAX,),
        )

    def _post(self, kind: str, rows: int, work: Callable[[sqlite3.Connection], None]) -> Job[None]:
        return self._database.post(work, lambda job: self._told(job, kind, rows))

    def _told(self, job: Job[None], kind: str, rows: int) -> None:
        try:
            job.result()
        except Exception as error:  # noqa: BLE001 - whatever it was, it costs these rows only
            self._telemetry.count("history_rows", rows, kind=kind, outcome="lost")
            log_event(logger, logging.WARNING, "history_not_written", kind=kind, reason=str(error))
        else:
            self._telemetry.count("history_rows", rows, kind=kind, outcome="written")

    # --- time ------------------------------------------------------------------------------------

    def _now(self) -> dict[str, object]:
        return {
            "now": self.clocks.elapsed(),
            "utc": self.clocks.utc_ms(),
            "boot": self._boot,
            "step": STEPPED_MS,
        }

    def _oldest_ms(self) -> int:
        return self.clocks.utc_ms() - HOURS * 3_600_000

    def _newest_ms(self) -> int:
        return self.clocks.utc_ms() + STEPPED_MS
