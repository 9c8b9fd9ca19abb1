"""What is done every few seconds: what is too old goes, and what the database holds is measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from agent.publishing.outbox.rows import FAMILIES
from agent.storage.jobs import Job
from agent.storage.rows import Dropped, Kind
from agent.storage.store import Store
from agent.telemetry import Telemetry

HOUSEKEEPING_S = 5.0


@dataclass(frozen=True, slots=True)
class _Found:
    """``oldest_mono``: when the oldest row of each kind was made that waits."""

    dropped: list[Dropped]
    used_bytes: int
    limit_bytes: int
    oldest_mono: dict[Kind, float | None]


class Housekeeping:
    """Has it done by the thread of the disk, and never waits for it. ``flush`` has the broker's
    answers written before. For one thread at a time."""

    def __init__(self, store: Store, flush: Callable[[], None], telemetry: Telemetry) -> None:
        self._store = store
        self._flush = flush
        self._telemetry = telemetry
        self._due_mono = -math.inf
        self._job: Job[_Found] | None = None

    def tick(self, now: float) -> list[Dropped]:
        """Return what the spool let go of since the last call."""
        if self._job is None and now >= self._due_mono:
            self._due_mono = now + HOUSEKEEPING_S
            self._flush()
            self._job = self._store.database.post(self._work)
        if self._job is None or not self._job.done.is_set():
            return []
        found, self._job = self._job.result(), None
        self._measure(found, now)
        return found.dropped

    def _work(self, _connection: object) -> _Found:
        spool = self._store.spool
        dropped = spool.expire()
        spool.capacity.look_at_disk()
        return _Found(
            dropped=dropped,
            used_bytes=self._store.database.size_bytes()[0],
            limit_bytes=spool.capacity.limit_bytes,
            oldest_mono={kind: spool.oldest_mono(kind) for kind in Kind},
        )

    def _measure(self, found: _Found, now: float) -> None:
        gauge = self._telemetry.gauge
        gauge("storage_bytes", found.used_bytes)
        gauge("storage_limit_bytes", found.limit_bytes)
        for kind, limit_s in self._store.spool.age_limit_s.items():
            family, made = FAMILIES[kind], found.oldest_mono[kind]
            age_s = max(0.0, now - made) if made is not None else 0.0
            gauge("spool_oldest_seconds", age_s, topic_family=family)
            gauge("spool_age_limit_seconds", limit_s, topic_family=family)
