"""What of the database goes out next: new messages as they come, older ones page by page.

Of each kind the rows up to a horizon are read in pages of the table. Rows above it are new: they
were added while the connection stood, and wait by their ids, with their bytes in a bounded cache.

What has to be read is asked for, and is there in a later call: nobody waits for the disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from agent.publishing.outbox.rows import KINDS, entry_of
from agent.publishing.wire.messages import Entry
from agent.storage.jobs import Job
from agent.storage.rows import Kind, Row
from agent.storage.spool import Spool

PAGE_ROWS = 50
CACHE_BYTES = 8 * 1024 * 1024

T = TypeVar("T")


@dataclass(slots=True)
class _Queue:
    """One kind: ids of ``new`` rows; the others up to ``horizon`` are read from the table.

    ``wanted`` is the row of the oldest new id, ``asked`` the next page, each until it is taken.
    """

    new: deque[int] = field(default_factory=deque)
    wanted: Job[Row | None] | None = None
    asked: Job[list[Row]] | None = None
    gone: set[int] = field(default_factory=set)  # while a page is asked for
    page: deque[Row] = field(default_factory=deque)
    cursor: int = 0
    horizon: int = 0
    read: bool = True  # nothing up to the horizon is left to be read

    def rewind(self, cursor: int, horizon: int) -> None:
        self.page.clear()
        self.asked = None
        self.gone.clear()
        self.cursor, self.horizon, self.read = cursor, horizon, False


class Ask(Protocol):
    """Have something read that is taken later; whoever asks is woken when it is there."""

    def __call__(self, work: Callable[[object], T], /) -> Job[T]: ...


class Backlog:
    """The order of reading. ``flush`` has the answers written that the table does not know yet; it
    is called before each page. For one thread at a time."""

    def __init__(self, spool: Spool, flush: Callable[[], None], ask: Ask) -> None:
        self._spool = spool
        self._flush = flush
        self._ask = ask
        self._queues = {kind: _Queue() for kind in Kind}
        self._cache: dict[int, Entry] = {}
        self._cache_bytes = 0

    # --- new rows ---

    def added(self, row_id: int, entry: Entry) -> None:
        """A row was added while the connection stands."""
        queue = self._queues[KINDS[entry.family]]
        if row_id <= queue.horizon:
            return
        queue.new.append(row_id)
        if self._cache_bytes + entry.size_bytes <= CACHE_BYTES:
            self._cache_bytes += entry.size_bytes
            self._cache[row_id] = Entry(entry.messages, entry.made_mono, row_id)

    def take_new(self, kind: Kind) -> Entry | None:
        """Take the oldest new entry; those whose row has gone are passed over. None: there is none,
        or it is not read yet."""
        queue = self._queues[kind]
        while queue.new:
            entry = self._uncache(queue.new[0])
            if entry is None:
                queue.wanted = queue.wanted or self._ask(partial(self._get, queue.new[0]))
                if not queue.wanted.done.is_set():
                    return None
                row, queue.wanted = queue.wanted.result(), None
                entry = entry_of(row, replayed=False) if row is not None else None
            queue.new.popleft()
            if entry is not None:
                return entry
        return None

    def _get(self, row_id: int, _connection: object) -> Row | None:
        return self._spool.get(row_id)

    def new(self) -> int:
        """Return how many new rows wait."""
        return sum(len(queue.new) for queue in self._queues.values())

    def evicted(self, ids: Collection[int]) -> None:
        """Rows have gone from the table."""
        gone = set(ids)
        for row_id in self._cache.keys() & gone:
            self._uncache(row_id)
        for queue in self._queues.values():
            if queue.new and queue.new[0] in gone:
                queue.wanted = None
            if queue.asked is not None:
                queue.gone |= gone
            queue.page = deque(row for row in queue.page if row.id not in gone)

    # --- older rows ---

    def next_old(
        self, kind: Kind, acked_before: float, passed: Callable[[int], bool]
    ) -> Row | None:
        """Take the next row up to the horizon that is not ``passed`` over; None: there is none, or
        it is not read yet (``reading``).

        Rows that the broker has acknowledged come again if that was by ``acked_before``.
        """
        queue = self._queues[kind]
        while True:
            while queue.page:
                row = queue.page.popleft()
                if not passed(row.id):
                    return row
            if queue.read:
                return None
            asked = queue.asked or self.ask_ahead(kind, acked_before)
            if not asked.done.is_set():
                return None
            rows, queue.asked = asked.result(), None
            queue.read = len(rows) < PAGE_ROWS
            queue.page.extend(row for row in rows if row.id not in queue.gone)
            queue.gone.clear()
            if rows:
                queue.cursor = rows[-1].id

    def ask_ahead(self, kind: Kind, acked_before: float) -> Job[list[Row]]:
        """Have the next page read, so that it may be there when the first row is taken."""
        self._flush()
        queue = self._queues[kind]
        page = (kind, queue.cursor, queue.horizon, acked_before, PAGE_ROWS)
        queue.asked = self._ask(partial(self._page, page))
        return queue.asked

    def _page(self, page: tuple[Kind, int, int, float, int], _connection: object) -> list[Row]:
        return self._spool.page(*page)

    def reading(self, kind: Kind) -> bool:
        """Whether the next rows of a kind are being read."""
        asked = self._queues[kind].asked
        return asked is not None and not asked.done.is_set()

    def has_old(self, kind: Kind) -> bool:
        """Whether rows of a kind may be left up to the horizon, and may be taken now."""
        queue = self._queues[kind]
        return bool(queue.page) or not (queue.read or self.reading(kind))

    def read_to_the_end(self) -> bool:
        """Whether no table has a page left to be read."""
        return all(queue.read for queue in self._queues.values())

    def reread(self, kind: Kind) -> None:
        """Read a kind from its first row again."""
        queue = self._queues[kind]
        queue.rewind(0, queue.horizon)

    def read_again(self, kind: Kind, row_id: int) -> None:
        """A row that was taken goes on waiting."""
        queue = self._queues[kind]
        queue.rewind(min(queue.cursor, row_id - 1), max(queue.horizon, row_id))

    # --- the connection ---

    def restart(self, horizon: int) -> None:
        """Read everything up to ``horizon`` from the start; what has a higher id is new."""
        self._flush()
        self.forget_new()
        for queue in self._queues.values():
            queue.rewind(0, horizon)

    def forget_new(self) -> None:
        """There is no connection: what was new is read from the table after the next connect."""
        for queue in self._queues.values():
            queue.new.clear()
            queue.wanted = None
        self._cache.clear()
        self._cache_bytes = 0

    def stop(self) -> None:
        """Nothing more goes out."""
        self.forget_new()
        self._queues = {kind: _Queue() for kind in Kind}

    def _uncache(self, row_id: int) -> Entry | None:
        entry = self._cache.pop(row_id, None)
        if entry is not None:
            self._cache_bytes -= entry.size_bytes
        return entry
