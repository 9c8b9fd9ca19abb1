"""What the broker answered and the database does not know yet: written in groups."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.storage.jobs import Job, Work
from agent.storage.spool import Spool

FLUSH_S = 0.25
FLUSH_MAX = 64


@dataclass(eq=False, slots=True)
class _Ids:
    """Rows by what became of them."""

    acked: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    unheard: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.acked) + len(self.gone) + len(self.unheard)


class Answers:
    """Ids of rows by what became of them. No call waits for the disk. For one thread at a time."""

    def __init__(self, spool: Spool, post: Callable[[Work[None]], Job[None]]) -> None:
        self._spool = spool
        self._post = post
        self._new = _Ids()
        self._since = math.inf
        self._writing: deque[tuple[_Ids, Job[None]]] = deque()

    def __len__(self) -> int:
        return len(self._new)

    def acked(self, row_id: int, now: float) -> None:
        """The broker has it."""
        self._new.acked.append(row_id)
        self._since = min(self._since, now)

    def gone(self, row_id: int, now: float) -> None:
        """The broker will never take it."""
        self._new.gone.append(row_id)
        self._since = min(self._since, now)

    def unheard(self, row_id: int, now: float) -> None:
        """The broker had nobody to give it to; it goes on waiting."""
        self._new.unheard.append(row_id)
        self._since = min(self._since, now)

    def settled(self, ids: set[int]) -> int:
        """Return how many of these rows need not wait any more, as far as the table may not know
        that yet."""
        known = (self._new, *(written for written, _ in self._writing))
        return len(ids.intersection(i for one in known for i in (*one.acked, *one.gone)))

    def due(self, now: float) -> bool:
        """Whether they are to be written now."""
        return len(self) >= FLUSH_MAX or now - self._since >= FLUSH_S

    def flush(self) -> None:
        """Have written what there is, in one transaction and before anything that is asked next."""
        while self._writing and self._writing[0][1].done.is_set():
            self._writing.popleft()[1].result()
        if not len(self):
            return
        ids, self._new, self._since = self._new, _Ids(), math.inf
        job = self._post(lambda _: self._spool.settle(ids.acked, ids.gone, ids.unheard))
        self._writing.append((ids, job))
