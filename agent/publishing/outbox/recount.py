"""A count of the table, once another one has taken its place: a disk failed or came back, or a file
was replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.storage.jobs import Job
from agent.storage.rows import Kind
from agent.storage.store import Store


@dataclass(frozen=True, slots=True)
class Counted:
    """The newest id of the table, and how many rows wait."""

    last_id: int
    waiting: dict[Kind, int]


class AskCounted(Protocol):
    """Have it read; whoever asks is woken when it is there."""

    def __call__(self, work: Callable[[object], Counted], /) -> Job[Counted]: ...


class Recount:
    """Asks until a count is of one moment of the books. ``flush`` has the broker's answers written
    before. For one thread at a time."""

    def __init__(self, store: Store, flush: Callable[[], None], ask: AskCounted) -> None:
        self._database = store.database
        self._spool = store.spool
        self._flush = flush
        self._ask = ask
        self._generation = store.database.generation
        self._due = False
        self._job: Job[Counted] | None = None
        self._asked_at = 0

    def tick(self, entries: int) -> Counted | None:
        """Return what the table holds, once after it has changed. ``entries`` counts the entries
        into the books: a count during which it has risen fits neither before nor after.

        While memory stands in there is none: what only the file has goes on waiting in the books.
        """
        database = self._database
        if database.generation != self._generation:
            self._generation, self._due, self._job = database.generation, True, None
        if not self._due or database.stands_in:
            return None
        if self._job is None and database.quiet:
            self._flush()
            self._asked_at = entries
            self._job = self._ask(lambda _: Counted(self._spool.last_id(), self._spool.waiting()))
        if self._job is None or not self._job.done.is_set():
            return None
        counted, self._job = self._job.result(), None
        if entries != self._asked_at or not database.quiet:
            return None
        self._due = False
        return counted
