"""How much the database may hold, and which rows go for a new one.

At the cap the least important goes first: explanations, then evidence, then alarms that were
acknowledged already, and alarms that wait last of all.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from agent.config import Storage
from agent.storage.database import Database
from agent.storage.file.disk import MEMORY_MAX_BYTES
from agent.storage.rows import Dropped, Kind

EVICT_ROWS = 32
EXPLANATION_SHARE = 0.25
EVIDENCE_SHARE = 0.5
MEMORY_LIMIT_BYTES = 32 * 1024 * 1024
"""Cap where nothing is ever kept on a disk."""
DISK_LOW_BYTES = 4 * 1024 * 1024
"""Free space that not even alarms use up: the log of the database needs it."""


class Capacity:
    """The cap over outbox and evidence. Every method is for the transaction that runs."""

    def __init__(
        self,
        database: Database,
        settings: Storage,
        free_bytes: Callable[[Path], int] | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._free_bytes = free_bytes or _free_bytes
        self._free: int | None = None  # bytes of the disk; None: no limit of its own
        self._held: dict[Kind, int] | None = None
        database.on_rollback(self.forget)
        database.run(lambda _connection: self.look_at_disk())

    def configure(self, settings: Storage) -> None:
        """Go by other limits from the next message on."""
        self._settings = settings

    @property
    def limit_bytes(self) -> int:
        """The cap as it stands now: less where memory has to do for a disk."""
        limit = self._settings.limit_bytes
        if self._database.path is None:
            return min(limit, MEMORY_LIMIT_BYTES)
        return min(limit, MEMORY_MAX_BYTES) if self._database.status.degraded else limit

    def look_at_disk(self) -> None:
        """Measure the free space, which bounds what may be added from now on."""
        path = self._database.path
        self._free = None
        if path is not None and not self._database.status.degraded:
            try:
                self._free = self._free_bytes(path.parent)
            except OSError:
                self._free = 0

    def ceiling_bytes(self, kind: Kind, file_bytes: int) -> int:
        """Return how much the database may hold when a row of this kind is to be added.

        A file of ``file_bytes`` can be filled whatever the disk says; it grows only into space that
        is free beyond the reserve.
        """
        if self._free is None or self._database.status.degraded:
            return self.limit_bytes
        reserve = DISK_LOW_BYTES if kind is Kind.ALARM else self._settings.free_disk_bytes
        return min(self.limit_bytes, file_bytes + max(0, self._free - reserve))

    def added(self, kind: Kind, size: int) -> None:
        """A row of this kind was added."""
        if self._held is not None and kind in self._held:
            self._held[kind] += size

    def make_room(
        self, connection: sqlite3.Connection, kind: Kind, size: int
    ) -> list[Dropped] | None:
        """Let go what the newcomer needs; None when there is no room for it whatever goes."""
        dropped: list[Dropped] = []
        share = {Kind.EVIDENCE: EVIDENCE_SHARE, Kind.EXPLANATION: EXPLANATION_SHARE}.get(kind)
        while share is not None and self._held_bytes(kind) + size > share * self.limit_bytes:
            gone = self._evict(connection, kind)
            if not gone:
                return None
            dropped += gone
        need = size + size // 4 + 8192  # the page that it begins, and the tree above
        while True:
            used, file_bytes = self._database.size_bytes()
            if used + need <= self.ceiling_bytes(kind, file_bytes):
                return dropped
            gone = self._evict_any(connection, kind)
            if not gone:
                return None
            dropped += gone

    def _evict_any(self, connection: sqlite3.Connection, newcomer: Kind) -> list[Dropped]:
        """Try the classes from the least important one to the newcomer's own, until one had any."""
        for victim in sorted(Kind, reverse=True):
            if victim >= newcomer and (gone := self._evict(connection, victim)):
                return gone
        return []

    def _evict(self, connection: sqlite3.Connection, kind: Kind) -> list[Dropped]:
        """Delete the oldest rows of a kind, acknowledged ones before any other."""
        self.forget()
        if kind is Kind.EVIDENCE and (gone := self._evict_pictures(connection)):
            return gone
        for acked, oldest in (
            # the plus keeps the planner from the index that would read every row of the kind
            (True, "+kind = ? AND acked_mono IS NOT NULL ORDER BY acked_mono"),
            (False, "kind = ? AND acked_mono IS NULL ORDER BY id"),
        ):
            rows = connection.execute(
                "DELETE FROM outbox WHERE id IN "  # noqa: S608
                f"(SELECT id FROM outbox WHERE {oldest} LIMIT ?) RETURNING id",
                (kind, EVICT_ROWS),
            ).fetchall()
            if rows:
                ids = tuple(int(row[0]) for row in rows)
                return [Dropped(kind, "spool_full", 0 if acked else len(ids), ids)]
        return []

    def _evict_pictures(self, connection: sqlite3.Connection) -> list[Dropped]:
        events = connection.execute(
            "DELETE FROM evidence WHERE event_id IN "
            "(SELECT event_id FROM evidence ORDER BY rowid LIMIT 4) "
            "RETURNING event_id"
        ).fetchall()
        gone = "DELETE FROM outbox WHERE evidence_id = ? RETURNING id, acked_mono"
        rows = [row for event in events for row in connection.execute(gone, event).fetchall()]
        waiting = sum(acked is None for _, acked in rows)
        ids = tuple(row_id for row_id, _ in rows)
        return [Dropped(Kind.EVIDENCE, "spool_full", waiting, ids)] if events else []

    def _held_bytes(self, kind: Kind) -> int:
        """Bytes of the explanations, or of the pictures; counted anew after a deletion."""
        if self._held is None:
            ((explanations, pictures),) = self._database.rows(
                "SELECT (SELECT coalesce(sum(size_bytes), 0) FROM outbox WHERE kind = ?), "
                "(SELECT coalesce(sum(size_bytes), 0) FROM evidence)",
                (Kind.EXPLANATION,),
            )
            self._held = {Kind.EXPLANATION: explanations, Kind.EVIDENCE: pictures}
        return self._held[kind]

    def forget(self) -> None:
        """Rows have gone, or the tables are others now: what was counted may be wrong."""
        self._held = None


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
