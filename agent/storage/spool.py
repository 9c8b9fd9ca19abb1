"""Messages that must not be lost, in the order in which they were made, within a cap.

Rows only: what is in flight and when it is sent again is decided by the outbox above. A message
that the broker acknowledged stays for a while, because a broker acknowledges before it delivers.

What goes at the cap is decided in ``capacity``, how old a row is in ``ages``.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agent.config import Storage
from agent.storage.ages import Ages
from agent.storage.capacity import Capacity
from agent.storage.database import Database
from agent.storage.file.copying import ACKED, GONE, UNHEARD, note_fates, waiting
from agent.storage.rows import Dropped, Kind, NewRow, Row

ROW_BYTES = 200
"""What a row takes beside its payload, with its share of the index."""
PACK_FROM_BYTES = 200
EXPIRE_ROWS = 5000
_ROWS = (
    "SELECT o.id, o.kind, o.route, o.topic, o.content_type, o.packed, o.payload, o.evidence_id, "
    "o.made_mono, o.unheard, o.acked_mono, e.data FROM outbox o "
    "LEFT JOIN evidence e ON o.evidence_id <> '' AND e.event_id = o.evidence_id "
)

_STANDING = (
    "SELECT json_extract(state, '$.record.event_id') FROM alarm "
    "WHERE json_extract(state, '$.record.state') <> 'NORM'"
)
"""Occurrences that are not over: their pictures are sent again with the state of their alarm."""


class Spool:
    """The outbox table and the evidence table. Every method runs in a transaction of its own or
    joins the one that runs."""

    def __init__(
        self,
        database: Database,
        settings: Storage,
        ages: Ages,
        free_bytes: Callable[[Path], int] | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._ages = ages
        self.capacity = Capacity(database, settings, free_bytes)
        database.on_join(ages.adopt)
        database.run(ages.adopt)

    def configure(self, settings: Storage) -> None:
        """Go by other settings from now on; what is too much or too old goes with the next look."""
        self._settings = settings
        self.capacity.configure(settings)

    # --- rows in, rows out -----------------------------------------------------------------------

    def add(self, row: NewRow) -> tuple[int, list[Dropped]]:
        """Keep a message; return its id (0: there is no room) and what had to go for it."""

        def work(connection: sqlite3.Connection) -> tuple[int, list[Dropped]]:
            packed = row.content_type.endswith("json") and len(row.payload) >= PACK_FROM_BYTES
            payload = zlib.compress(row.payload, 1) if packed else row.payload
            size = len(payload) + ROW_BYTES
            dropped = self.capacity.make_room(connection, row.kind, size)
            if dropped is None:
                return 0, []
            now, utc_ms, boot, stamp = self._ages.born()
            if row.evidence_id:
                connection.execute(
                    "INSERT OR REPLACE INTO evidence VALUES (?, ?, ?, ?, ?, ?)",
                    (row.evidence_id, row.topic, row.content_type, size, utc_ms, row.payload),
                )
                payload = b""
            cursor = connection.execute(
                "INSERT INTO outbox VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, NULL, ?, ?, ?)",
                (
                    row.kind,
                    row.route,
                    row.topic,
                    row.content_type,
                    row.evidence_id,
                    size,
                    utc_ms,
                    now,
                    boot,
                    packed,
                    payload,
                    stamp,
                ),
            )
            self.capacity.added(row.kind, size)
            return cursor.lastrowid or 0, dropped

        return self._database.run(work)

    def page(self, kind: Kind, after: int, upto: int, acked_before: float, limit: int) -> list[Row]:
        """Return rows with ``after`` < id <= ``upto`` in order: those that were never acknowledged,
        and those that were by ``acked_before`` and are kept still."""
        found = self._database.rows(
            f"{_ROWS} WHERE o.kind = ? AND o.id > ? AND o.id <= ? "
            "AND (o.acked_mono IS NULL OR o.acked_mono <= ?) ORDER BY o.id LIMIT ?",
            (kind, after, upto, acked_before, limit),
        )
        return [_row(values) for values in found]

    def get(self, row_id: int) -> Row | None:
        """Return one row; None when it is gone."""
        found = self._database.rows(f"{_ROWS} WHERE o.id = ?", (row_id,))
        return _row(found[0]) if found else None

    def evidence_topic(self, event_id: str) -> str:
        """Return where the picture of an occurrence was published; empty without one."""
        found = self._database.rows("SELECT topic FROM evidence WHERE event_id = ?", (event_id,))
        return str(found[0][0]) if found else ""

    def evidence(self, event_id: str) -> tuple[str, bytes] | None:
        """Return content type and picture of an occurrence; None without one."""
        query = "SELECT content_type, data FROM evidence WHERE event_id = ?"
        found = self._database.rows(query, (event_id,))
        return (str(found[0][0]), bytes(found[0][1])) if found else None

    def settle(self, acked: Sequence[int], gone: Sequence[int], unheard: Sequence[int]) -> None:
        """The broker took ``acked`` and will never take ``gone``; ``unheard`` go on waiting."""

        def work(connection: sqlite3.Connection) -> None:
            now = self._ages.clock()
            self.capacity.forget()
            if self._database.stands_in:  # the file may have them, and is told when it is back
                note_fates(connection, ACKED, acked, now)
                note_fates(connection, GONE, gone)
                note_fates(connection, UNHEARD, unheard)
            # The first time counts: on a connection that is lost every few minutes, what is sent
            # again each time would be kept for ever.
            connection.executemany(
                "UPDATE outbox SET acked_mono = COALESCE(acked_mono, ?) WHERE id = ? AND kind <> ?",
                [(now, row_id, Kind.EXPLANATION) for row_id in acked],
            )
            connection.executemany(
                "DELETE FROM outbox WHERE id = ? AND kind = ?",
                [(row_id, Kind.EXPLANATION) for row_id in acked],
            )
            connection.executemany("DELETE FROM outbox WHERE id = ?", [(row,) for row in gone])
            connection.executemany(
                "UPDATE outbox SET unheard = 1 WHERE id = ?", [(row,) for row in unheard]
            )

        self._database.run(work)

    # --- age -------------------------------------------------------------------------------------

    @property
    def age_limit_s(self) -> dict[Kind, float]:
        """How long a row of each kind may wait."""
        return {
            Kind.ALARM: self._settings.alarm_age_s,
            Kind.EVIDENCE: self._settings.evidence_age_s,
            Kind.EXPLANATION: self._settings.explanation_age_s,
        }

    def expire(self) -> list[Dropped]:
        """Let go what was acknowledged long enough ago, and what has waited for too long; at most
        ``EXPIRE_ROWS`` of a sort, so that a slow disk takes no longer than it may."""

        def work(connection: sqlite3.Connection) -> list[Dropped]:
            self._ages.catch_up(connection)
            now = self._ages.clock()
            kept = connection.execute(
                "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE acked_mono < ? "  # noqa: S608
                f"AND evidence_id NOT IN ({_STANDING}) LIMIT ?) RETURNING kind, id",
                (now - self._settings.keep_acknowledged_s, EXPIRE_ROWS),
            ).fetchall()
            dropped = [
                Dropped(kind, "acknowledged", 0, tuple(row[1] for row in kept if row[0] == kind))
                for kind in Kind
                if any(row[0] == kind for row in kept)
            ]
            for kind, age_s in self.age_limit_s.items():
                for unheard, reason in ((0, "expired"), (1, "no_matching_subscribers")):
                    rows = connection.execute(
                        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE kind = ? "
                        "AND made_mono < ? AND unheard = ? AND acked_mono IS NULL LIMIT ?) "
                        "RETURNING id",
                        (kind, now - age_s, unheard, EXPIRE_ROWS),
                    ).fetchall()
                    if rows:
                        ids = tuple(int(row[0]) for row in rows)
                        dropped.append(Dropped(kind, reason, len(ids), ids))
            return dropped

        return self._database.run(work)

    # --- measures --------------------------------------------------------------------------------

    def waiting(self) -> dict[Kind, int]:
        """Return how many rows of each kind wait, by a count over the table."""
        return dict.fromkeys(Kind, 0) | self._database.run(waiting)

    def oldest_mono(self, kind: Kind) -> float | None:
        """Return when the oldest waiting row was made."""
        found = self._database.rows(
            "SELECT made_mono FROM outbox WHERE kind = ? AND acked_mono IS NULL "
            "ORDER BY id LIMIT 1",
            (kind,),
        )
        return float(found[0][0]) if found else None

    def last_id(self) -> int:
        """Return the newest id that was ever given."""
        return int(self._database.rows("SELECT coalesce(max(id), 0) FROM outbox")[0][0])


def _row(values: tuple[Any, ...]) -> Row:
    (row_id, kind, route, topic, content_type, packed, payload, evidence_id, made, unheard, acked,
     data) = values  # fmt: skip
    body = zlib.decompress(payload) if packed else payload
    if evidence_id:
        body = data or b""
    return Row(
        id=row_id,
        kind=Kind(kind),
        route=route,
        topic=topic,
        content_type=content_type,
        payload=body,
        made_mono=made,
        unheard=bool(unheard),
        acked=acked is not None,
    )
