"""The outbox of a plant: states in memory, and events in the database until the broker has them.

A durable message is committed before it can be sent, so a kill loses none. While the connection
stands, new ones go out from memory at once. Whatever waited longer, and whatever the broker had
acknowledged shortly before the connection was lost, is read back from the database and replayed:
after the snapshot, paced, marked ``replayed``, and never before a message that is new.

The answers of the broker are written in groups. One that a kill takes away is a message that is
sent twice, with the same id.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence

from agent.config import Storage
from agent.publishing.outbox.answers import Answers
from agent.publishing.outbox.backlog import Backlog
from agent.publishing.outbox.books import Books
from agent.publishing.outbox.memory import MemoryOutbox
from agent.publishing.outbox.outbox import LIVE_RANK, NO_SUBSCRIBERS, PERMANENT, REFUSED_RETRY_S
from agent.publishing.outbox.rows import FAMILIES, KINDS, entry_of, row_of
from agent.publishing.wire.messages import Entry, Message
from agent.publishing.wire.topics import ROUTES
from agent.records import TopicFamily
from agent.storage.rows import Dropped, Kind, Row
from agent.storage.store import Store
from agent.telemetry import Clock, Telemetry
from agent.token_bucket import TokenBucket

UNHEARD_RETRY_S = REFUSED_RETRY_S
"""How long nothing of a kind is replayed after the broker refused a message of it, or had nobody to
give an alarm's event to."""

REPLAY_IN_FLIGHT_MAX = 5
REPLAY_BURST = 2.0
LATE_MAX = 50
"""So many alarm events that nobody has been given yet go out before the snapshot of a connection:
an alarm of the outage must not wait for what only says again how things are."""

HOUSEKEEPING_S = 5.0
CLEAN = "outbox.clean"


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
        self._answers = Answers(store.spool)
        self._backlog = Backlog(store.spool, self._answers.flush)
        self._books = Books(KINDS, telemetry)
        self._in_flight: dict[int, bool] = {}  # id -> whether it is a replay
        self._evicted: set[int] = set()  # while in flight: counted already
        self._pace = TokenBucket(settings.replay_per_s, REPLAY_BURST, clock())
        self._connected = False
        self._drained = False  # the snapshot of this connection has gone out
        self._late_left = 0  # alarm events that may go out before it
        self._replay_acked = store.counters.get(CLEAN) == 0
        self._acked_before = -math.inf
        self._replay_from = dict.fromkeys(Kind, -math.inf)  # nothing of a kind is replayed before
        self._closed: str | None = None
        self._housekeeping_at = -math.inf
        self._generation = store.database.generation
        self.on_ready: Callable[[], None] = lambda: None
        """Called when something new can be taken, by whichever thread made it."""
        store.counters.set(CLEAN, 0)
        self._adopt()

    def _adopt(self) -> None:
        """What an earlier start left waiting was enqueued and is in flight."""
        for kind, rows in self._spool.waiting().items():
            self._books.enqueued(FAMILIES[kind], rows)

    # --- in --------------------------------------------------------------------------------------

    def put(self, entry: Entry, now: float) -> None:
        if not entry.is_durable:
            self._memory.put(entry, now)
            return
        if self._closed is not None:
            self.refuse(entry.family, self._closed)
            return
        row = row_of(entry)

        def work(_connection: object) -> None:
            row_id, dropped = self._spool.add(row)
            self._store.database.after_commit(lambda: self._added(entry, row_id, dropped))

        self._store.database.run(work)

    def _added(self, entry: Entry, row_id: int, dropped: Sequence[Dropped]) -> None:
        with self._lock:
            self._books.enqueued(entry.family)
            self._apply(dropped)
            if row_id == 0:
                self._books.dropped(entry.family, 1, "spool_full")
                return
            if self._connected:
                self._backlog.added(row_id, entry)
        self.on_ready()

    def refuse(self, family: TopicFamily, reason: str) -> None:
        """Count a message that could not even be made."""
        if family not in KINDS:
            self._memory.refuse(family, reason)
            return
        with self._lock:
            self._books.enqueued(family)
            self._books.dropped(family, 1, reason)

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
            if self._late_left and (entry := self._take_late(now)) is not None:
                return entry
            entry = (
                self._memory.take(now, last)
                or self._take_new(Kind.EVIDENCE)
                or self._take_new(Kind.EXPLANATION)
            )
            if entry is None and self._drained:
                entry = self._take_replay(now)
            if entry is None:
                entry = self._memory.take(now)
            if entry is None and not self._drained and self._connected:
                self._drained = True
                self._end_late()
                entry = self._take_replay(now)
            return entry

    def _take_new(self, kind: Kind) -> Entry | None:
        entry = self._backlog.take_new(kind)
        if entry is not None:
            self._in_flight[entry.spool_id] = False
        return entry

    def _take_replay(self, now: float) -> Entry | None:
        if not self._may_replay(now):
            return None
        for kind in Kind:
            if now < self._replay_from[kind]:
                continue
            row = self._backlog.next_old(kind, self._acked_before, self._is_passed)
            if row is not None:
                return self._replayed(row, kind, now)
        return None

    def _take_late(self, now: float) -> Entry | None:
        if not self._may_replay(now) or now < self._replay_from[Kind.ALARM]:
            return None
        row = self._backlog.next_old(Kind.ALARM, -math.inf, self._is_passed)
        self._late_left = self._late_left - 1 if row is not None else 0
        if not self._late_left:
            self._end_late()
        return self._replayed(row, Kind.ALARM, now) if row is not None else None

    def _end_late(self) -> None:
        """From now on those that the broker has acknowledged before come too, from the first."""
        self._late_left = 0
        self._backlog.reread(Kind.ALARM)

    def _may_replay(self, now: float) -> bool:
        room = sum(self._in_flight.values()) < REPLAY_IN_FLIGHT_MAX
        return room and self._pace.wait_s(1.0, now) <= 0

    def _replayed(self, row: Row, kind: Kind, now: float) -> Entry:
        self._pace.spend(1.0, now)
        family = FAMILIES[kind]
        if row.acked:  # delivered once already: it is entered into the books anew
            self._books.enqueued(family)
        self._telemetry.count("messages_replayed", topic_family=family)
        self._in_flight[row.id] = True
        return entry_of(row, replayed=True)

    def _is_passed(self, row_id: int) -> bool:
        return row_id in self._in_flight or row_id in self._evicted

    def due_in(self, now: float) -> float:
        with self._lock:
            if not (self._connected and self._drained):
                return math.inf
            waits = [
                max(0.0, self._replay_from[kind] - now)
                for kind in Kind
                if self._backlog.has_old(kind)
            ]
            if not waits or sum(self._in_flight.values()) >= REPLAY_IN_FLIGHT_MAX:
                return math.inf
            return max(min(waits), self._pace.wait_s(1.0, now))

    # --- answers ---------------------------------------------------------------------------------

    def settle(self, entry: Entry, message: Message, reason: str | None) -> None:
        if not entry.is_durable:
            self._memory.settle(entry, message, reason, self._clock())
            return
        with self._lock:
            row_id, family = entry.spool_id, entry.family
            self._in_flight.pop(row_id, None)
            if row_id in self._evicted:
                self._evicted.discard(row_id)
                return
            now = self._clock()
            if reason is None:
                self._answers.acked(row_id, now)
                self._books.delivered(family)
            elif reason not in PERMANENT:
                self._wait_on(KINDS[family], row_id, reason, now)
            else:
                self._answers.gone(row_id, now)
                self._books.dropped(family, 1, reason)

    def _wait_on(self, kind: Kind, row_id: int, reason: str, now: float) -> None:
        if reason == NO_SUBSCRIBERS:
            self._answers.unheard(row_id, now)
        self._backlog.read_again(kind, row_id)
        self._replay_from[kind] = now + UNHEARD_RETRY_S

    # --- the connection --------------------------------------------------------------------------

    def lost(self, entries: Sequence[tuple[Entry, tuple[Message, ...]]]) -> None:
        self._memory.lost([lost for lost in entries if not lost[0].is_durable])
        with self._lock:
            self._replay_acked = self._replay_acked or self._connected
            self._connected = self._drained = False
            self._in_flight.clear()
            self._evicted.clear()
            self._backlog.forget_new()
            self._answers.flush()

    def snapshot(self, now: float) -> None:
        self._memory.snapshot(now)
        with self._lock:
            self._backlog.restart()
            self._acked_before = now if self._replay_acked else -math.inf
            self._replay_from = dict.fromkeys(Kind, -math.inf)
            self._connected, self._drained, self._late_left = True, False, LATE_MAX

    def repeat(self, now: float) -> None:
        self._memory.repeat(now)

    def waiting(self) -> int:
        with self._lock:
            return self._memory.waiting() + self._backlog.new()

    def discard(self, reason: str) -> None:
        self._memory.discard(reason)
        with self._lock:
            self._drained, self._late_left = False, 0  # nothing more is replayed
            self._backlog.stop()

    def close(self, reason: str, *, clean: bool = False) -> None:
        self._memory.close(reason)
        with self._lock:
            self._closed = reason
            self._answers.flush()
            if self._store.database.path is None:
                for family in KINDS:
                    self._books.dropped(family, self._books.in_flight(family), reason)
        self._store.counters.set(CLEAN, int(clean))

    # --- time ------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        self._memory.tick(now)
        with self._lock:
            if self._answers.due(now):
                self._answers.flush()
            if now < self._housekeeping_at:
                return
            self._housekeeping_at = now + HOUSEKEEPING_S
            self._answers.flush()
            self._apply(self._spool.expire())
        self._store.database.tick(now)
        self._spool.capacity.look_at_disk()
        if self._store.database.generation != self._generation:
            self._reload()
        self._measure(now)

    def _reload(self) -> None:
        """The tables are others than before: a disk failed or came back, or a file was replaced.

        What only a failed disk has goes on waiting in the books, until that comes back.
        """
        with self._lock:
            self._generation = self._store.database.generation
            self._answers.flush()
            if self._store.status().degraded:
                return
            for kind, rows in self._spool.waiting().items():
                family = FAMILIES[kind]
                unknown = rows - self._books.in_flight(family)
                # above 0: sent meanwhile, and waiting in the file all the same
                self._books.enqueued(family, max(0, unknown))
                self._books.dropped(family, max(0, -unknown), "storage_lost")
            if self._connected:
                if self._backlog.read_to_the_end():
                    self._acked_before = -math.inf  # they have been sent again already
                self._backlog.restart()

    def _measure(self, now: float) -> None:
        used, _file = self._store.database.size_bytes()
        self._telemetry.gauge("storage_bytes", used)
        self._telemetry.gauge("storage_limit_bytes", self._spool.capacity.limit_bytes)
        for kind, limit_s in self._spool.age_limit_s.items():
            family, made = FAMILIES[kind], self._spool.oldest_mono(kind)
            age_s = max(0.0, now - made) if made is not None else 0.0
            self._telemetry.gauge("spool_oldest_seconds", age_s, topic_family=family)
            self._telemetry.gauge("spool_age_limit_seconds", limit_s, topic_family=family)

    # --- books -----------------------------------------------------------------------------------

    def _apply(self, dropped: Iterable[Dropped]) -> None:
        """Enter into the books what the spool let go."""
        for one in dropped:
            ids = set(one.ids)
            answered = self._answers.settled(ids)
            self._evicted |= ids.intersection(self._in_flight)
            self._backlog.evicted(ids)
            lost = max(0, one.count - answered)
            self._books.dropped(FAMILIES[one.kind], lost, one.reason)
            if one.kind is Kind.ALARM and one.reason == "spool_full" and lost:
                self._store.database.note_loss("alarm messages did not fit any more")
