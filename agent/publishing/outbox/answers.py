"""What the broker answered and the database does not know yet: written in groups."""

from __future__ import annotations

import math

from agent.storage.spool import Spool

FLUSH_S = 0.25
FLUSH_MAX = 64


class Answers:
    """Ids of rows by what became of them. For one thread at a time."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._acked: list[int] = []
        self._gone: list[int] = []
        self._unheard: list[int] = []
        self._since = math.inf

    def __len__(self) -> int:
        return len(self._acked) + len(self._gone) + len(self._unheard)

    def acked(self, row_id: int, now: float) -> None:
        """The broker has it."""
        self._acked.append(row_id)
        self._since = min(self._since, now)

    def gone(self, row_id: int, now: float) -> None:
        """The broker will never take it."""
        self._gone.append(row_id)
        self._since = min(self._since, now)

    def unheard(self, row_id: int, now: float) -> None:
        """The broker had nobody to give it to; it goes on waiting."""
        self._unheard.append(row_id)
        self._since = min(self._since, now)

    def settled(self, ids: set[int]) -> int:
        """Return how many of these rows need not wait any more."""
        return len(ids.intersection((*self._acked, *self._gone)))

    def due(self, now: float) -> bool:
        """Whether they are to be written now."""
        return len(self) >= FLUSH_MAX or now - self._since >= FLUSH_S

    def flush(self) -> None:
        """Write what there is, in one transaction."""
        acked, gone, unheard = self._acked, self._gone, self._unheard
        self._acked, self._gone, self._unheard, self._since = [], [], [], math.inf
        if acked or gone or unheard:
            self._spool.settle(acked, gone, unheard)
