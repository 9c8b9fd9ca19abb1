"""The outbox of a plant: states in memory, and events in the database until the broker has them.

A durable message is committed before it can be sent, so a kill loses none. While the connection
stands, new ones go out from memory at once. Whatever waited longer, and whatever the broker had
acknowledged shortly before the connection was lost, is read back from the database and replayed:
after the snapshot, paced, marked ``replayed``, and never before a message that is new.

The answers of the broker are written in groups. One that a kill takes away is a message that is
sent twice, with the same id.

No call but ``put`` of a durable message waits for the disk: what has to be read or written for the
connection is asked for, and the connection goes on meanwhile.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from agent.config import Storage
from agent.publishing.outbox.answers import Answers
from agent.publishing.outbox.backlog import Backlog
from agent.publishing.outbox.books import Books
from agent.publishing.outbox.housekeeping import Housekeeping
from agent.publishing.outbox.memory import MemoryOutbox
from agent.publishing.outbox.outbox import LIVE_RANK, NO_SUBSCRIBERS, PERMANENT
from agent.publishing.outbox.recount import Recount
from agent.publishing.outbox.replay import Replay
from agent.publishing.outbox.rows import FAMILIES, KINDS, entry_of, row_of
from agent.publishing.wire.messages import Entry, Message
from agent.publishing.wire.topics import ROUTES
from agent.records import TopicFamily
from agent.storage.jobs import Job
from agent.storage.rows import Dropped, Kind, Row
from agent.storage.store import Store
from agent.telemetry import Clock, Telemetry

CLEAN = "outbox.clean"

T = TypeVar("T")


class DurableOutbox:
    """States and what is short-lived go to a ``MemoryOutbox``, the rest through the spool."""

    def __init__(
        self,
        memory: MemoryOutbox,
        store: Store,
        settings: Storage,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._memory = memory
        self._store = store
        self._spool = store.spool
        self._telemetry = telemetry
        self._clock = clock
        self._lock = threading.Lock()
        self._answers = Answers(store.spool, store.database.post)
        self._backlog = Backlog(store.spool, self._answers.flush, self._ask)
        self._books = Books(KINDS, telemetry)
        self._in_flight: dict[int, bool] = {}  # id -> whether it is a replay
        self._again: dict[int, Kind] = {}  # entered anew: the table has them as acknowledged
        self._evicted: set[int] = set()  # while in flight: counted already
        self._replay = Replay(self._backlog, self._is_passed, settings.replay_per_s, clock())
        self._connected = False
        self._drained = False  # the snapshot of this connection has gone out
        self._replay_acked = store.counters.get(CLEAN) == 0
        self._closed: str | None = None
        self._housekeeping = Housekeeping(store, self._answers.flush, telemetry)
        self._recount = Recount(store, self._answers.flush, self._ask)
        self._last_id = store.spool.last_id()
        self._entries = 0  # into the books, so that a count of the table can be compared with them
        self.on_ready: Callable[[], None] = lambda: None
        """Called when something new can be taken, by whichever thread made it."""
        store.counters.set(CLEAN, 0)
        store.database.on_lost(self._lose)
        self._adopt()

    def _adopt(self) -> None:
        """What an earlier start left waiting was enqueued and is in flight."""
        for kind, rows in self._spool.waiting().items():
            self._books.enqueued(FAMILIES[kind], rows)

    def configure(self, queue_max: int, settings: Storage) -> None:
        """Go by other settings from now on; what waits goes on waiting."""
        self._memory.resize(queue_max)
        with self._lock:
            self._replay.set_pace(settings.replay_per_s, self._clock())

    # --- in --------------------------------------------------------------------------------------

    def put(self, entry: Entry, now: float) -> None:
        if not entry.is_durable:
            self._memory.put(entry, now)
            return
        if self._closed is not None:
            reason = self._closed
            self._store.database.after_commit(lambda: self.refuse(entry.family, reason))
            return
        row = row_of(entry)

        def work(_connection: object) -> None:
            row_id, dropped = self._spool.add(row)
            self._store.database.after_commit(lambda: self._added(entry, row_id, dropped))

        self._store.database.run(work)

    def _added(self, entry: Entry, row_id: int, dropped: Sequence[Dropped]) -> None:
        with self._lock:
            self._entries += 1
            self._books.enqueued(entry.family)
            self._apply(dropped)
            if row_id == 0:
                self._books.dropped(entry.family, 1, "spool_full")
                return
            self._last_id = max(self._last_id, row_id)
            if self._connected:
                self._backlog.added(row_id, entry)
        self.on_ready()

    def refuse(self, family: TopicFamily, reason: str) -> None:
        """Count a message that could not even be made."""
        if family not in KINDS:
            self._memory.refuse(family, reason)
            return
        with self._lock:
            self._entries += 1
            self._books.enqueued(family)
            self._books.dropped(family, 1, reason)

    def _ask(self, work: Callable[[object], T]) -> Job[T]:
        return self._store.database.post(work, lambda _job: self.on_ready())

    # --- out -------------------------------------------------------------------------------------

    def take(self, now: float, *, live: bool = False) -> Entry | None:
        with self._lock:
            first, last = ROUTES["event_alarm"].rank, ROUTES["evidence"].rank
            entry = (
                self._memory.take(now, first)
                or self._take_new(Kind.ALARM)
                or self._memory.take(now, LIVE_RANK)
            )
            if entry is not None or live:
                return entry
            entry = (
                self._replayed(self._replay.take_late(now, self._replays()))
                or self._memory.take(now, last)
                or self._take_new(Kind.EVIDENCE)
                or self._take_new(Kind.EXPLANATION)
            )
            if entry is None and self._drained:
                entry = self._replayed(self._replay.take(now, self._replays()))
            if entry is None:
                entry = self._memory.take(now)
            if entry is None and not self._drained and self._connected:
                self._drained = True
                self._replay.end_late()
                entry = self._replayed(self._replay.take(now, self._replays()))
            return entry

    def _take_new(self, kind: Kind) -> Entry | None:
        entry = self._backlog.take_new(kind)
        if entry is not None:
            self._in_flight[entry.spool_id] = False
        return entry

    def _replays(self) -> int:
        return sum(self._in_flight.values())

    def _replayed(self, row: Row | None) -> Entry | None:
        if row is None:
            return None
        family = FAMILIES[row.kind]
        if row.acked and row.id not in self._again:
            # delivered once already: it is entered into the books anew
            self._books.enqueued(family)
            self._again[row.id] = row.kind
            self._entries += 1
        self._telemetry.count("messages_replayed", topic_family=family)
        self._in_flight[row.id] = True
        return entry_of(row, replayed=True)

    def _is_passed(self, row_id: int) -> bool:
        return row_id in self._in_flight or row_id in self._evicted

    def due_in(self, now: float) -> float:
        with self._lock:
            if not (self._connected and self._drained):
                return math.inf
            return self._replay.due_in(now, self._replays())

    # --- answers ---------------------------------------------------------------------------------

    def settle(self, entry: Entry, message: Message, reason: str | None) -> None:
        if not entry.is_durable:
            self._memory.settle(entry, message, reason, self._clock())
            return
        with self._lock:
            row_id, family = entry.spool_id, entry.family
            self._entries += 1
            self._in_flight.pop(row_id, None)
            if row_id in self._evicted:
                self._evicted.discard(row_id)
                return
            now = self._clock()
            if reason is None:
                self._answers.acked(row_id, now)
                self._again.pop(row_id, None)
                self._books.delivered(family)
            elif reason not in PERMANENT:
                self._wait_on(KINDS[family], row_id, reason, now)
            else:
                self._answers.gone(row_id, now)
                self._again.pop(row_id, None)
                self._books.dropped(family, 1, reason)

    def _wait_on(self, kind: Kind, row_id: int, reason: str, now: float) -> None:
        if reason == NO_SUBSCRIBERS:
            self._answers.unheard(row_id, now)
        self._replay.refused(row_id, kind, now)

    # --- the connection --------------------------------------------------------------------------

    def lost(self, entries: Sequence[tuple[Entry, tuple[Message, ...]]]) -> None:
        self._memory.lost([lost for lost in entries if not lost[0].is_durable])
        with self._lock:
            self._replay_acked = self._replay_acked or self._connected
            self._connected = self._drained = False
            self._entries += 1
            self._in_flight.clear()
            self._evicted.clear()
            self._backlog.forget_new()
            self._answers.flush()

    def snapshot(self, now: float) -> None:
        self._memory.snapshot(now)
        with self._lock:
            self._backlog.restart(self._last_id)
            self._replay.start(now if self._replay_acked else -math.inf)
            self._connected, self._drained = True, False

    def repeat(self, now: float) -> None:
        self._memory.repeat(now)

    def waiting(self) -> int:
        with self._lock:
            return self._memory.waiting() + self._backlog.new()

    def discard(self, reason: str) -> None:
        self._memory.discard(reason)
        with self._lock:
            self._drained = False  # nothing more is replayed
            self._replay.stop()
            self._backlog.stop()

    def close(self, reason: str, *, clean: bool = False) -> None:
        self._memory.close(reason)
        with self._lock:
            self._closed = reason
            self._answers.flush()
            if self._store.database.path is None:
                for family in KINDS:
                    self._books.dropped(family, self._books.in_flight(family), reason)
        self._store.database.post(lambda _: self._store.counters.set(CLEAN, int(clean)))

    def _lose(self, lost: Mapping[Kind, int]) -> None:
        """The end has come, and no disk took these."""
        with self._lock:
            for kind, rows in lost.items():
                self._books.dropped(FAMILIES[kind], rows, "storage_lost")

    # --- time ------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        self._memory.tick(now)
        with self._lock:
            if self._answers.due(now):
                self._answers.flush()
            dropped = self._housekeeping.tick(now)
            self._entries += bool(dropped)
            self._apply(dropped)
            self._follow_the_tables()
        self._store.database.tick()

    def _follow_the_tables(self) -> None:
        """Let the books fit a table that has taken the place of another."""
        counted = self._recount.tick(self._entries)
        if counted is None:
            return
        self._last_id = max(self._last_id, counted.last_id)
        for kind, rows in counted.waiting.items():
            family = FAMILIES[kind]
            again = sum(one is kind for one in self._again.values())
            unknown = rows - (self._books.in_flight(family) - again)
            # above 0: sent meanwhile, and waiting in the file all the same
            self._books.enqueued(family, max(0, unknown))
            self._books.dropped(family, max(0, -unknown), "storage_lost")
        if self._connected:
            if self._backlog.read_to_the_end():
                self._replay.all_sent_again()
            self._backlog.restart(self._last_id)

    # --- books -----------------------------------------------------------------------------------

    def _apply(self, dropped: Iterable[Dropped]) -> None:
        """Enter into the books what the spool let go."""
        for one in dropped:
            ids = set(one.ids)
            answered = self._answers.settled(ids)
            self._evicted |= ids.intersection(self._in_flight)
            self._backlog.evicted(ids)
            for row_id in ids & self._again.keys():  # the broker took it the first time
                self._books.delivered(FAMILIES[self._again.pop(row_id)])
            lost = max(0, one.count - answered)
            self._books.dropped(FAMILIES[one.kind], lost, one.reason)
            if one.kind is Kind.ALARM and one.reason == "spool_full" and lost:
                self._store.database.note_loss("alarm messages did not fit any more")
