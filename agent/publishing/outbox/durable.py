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
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.config import Storage
from agent.publishing.outbox.outbox import Book, MemoryOutbox
from agent.publishing.outbox.pace import Pace
from agent.publishing.wire.messages import Entry, Message
from agent.publishing.wire.topics import ROUTES
from agent.records import TopicFamily
from agent.storage.spool import Dropped, Kind, NewRow, Row
from agent.storage.store import Store
from agent.telemetry import Clock, Telemetry

KINDS = {
    TopicFamily.EVENT: Kind.ALARM,
    TopicFamily.EVIDENCE: Kind.EVIDENCE,
    TopicFamily.EXPLANATION: Kind.EXPLANATION,
}
FAMILIES = {kind: family for family, kind in KINDS.items()}
PERMANENT = frozenset({"packet_too_large", "topic_name_invalid", "payload_format_invalid"})
"""Refusals that no later attempt can heal. After any other an alarm's event goes on waiting."""

NO_SUBSCRIBERS = "no_matching_subscribers"
UNHEARD_RETRY_S = 30.0
"""How long nothing is replayed after the broker had nobody to give an alarm's event to."""

REPLAY_IN_FLIGHT_MAX = 5
PAGE_ROWS = 50
CACHE_BYTES = 8 * 1024 * 1024
FLUSH_S = 0.25
FLUSH_MAX = 64
HOUSEKEEPING_S = 5.0
CLEAN = "outbox.clean"
_MARK = b'"replayed":false}'


@dataclass(slots=True)
class _Lane:
    """One kind: ``live`` are new ones; the rest up to ``horizon`` is read from the table."""

    live: deque[int] = field(default_factory=deque)
    page: deque[Row] = field(default_factory=deque)
    cursor: int = 0
    horizon: int = 0
    read: bool = True  # nothing up to the horizon is left to be read

    def rewind(self, cursor: int, horizon: int) -> None:
        self.page.clear()
        self.cursor, self.horizon, self.read = cursor, horizon, False


@dataclass(slots=True)
class _Answers:
    """What the broker said and the table does not know yet."""

    acked: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    unheard: list[int] = field(default_factory=list)
    since: float = math.inf

    def __len__(self) -> int:
        return len(self.acked) + len(self.gone) + len(self.unheard)


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
        self._settings = settings
        self._telemetry = telemetry
        self._clock = clock
        self._lock = threading.Lock()
        self._lanes = {kind: _Lane() for kind in Kind}
        self._books = {family: Book() for family in KINDS}
        self._cache: dict[int, Entry] = {}
        self._cache_bytes = 0
        self._in_flight: dict[int, bool] = {}  # id -> whether it is a replay
        self._vanished: set[int] = set()  # evicted while in flight: counted already
        self._answers = _Answers()
        self._pace = Pace(settings.replay_per_s, burst=2)
        self._connected = False
        self._drained = False  # the snapshot of this connection has gone out
        self._replay_acked = store.counters.get(CLEAN) == 0
        self._acked_before = -math.inf
        self._pause_until = -math.inf
        self._closed: str | None = None
        self._housekeeping_at = -math.inf
        self._generation = store.database.generation
        self.on_ready = _nothing
        """Called when something new can be taken, by whichever thread made it."""
        store.counters.set(CLEAN, 0)
        self._adopt()

    def _adopt(self) -> None:
        """What an earlier start left waiting was enqueued and is in flight."""
        for kind, level in self._spool.levels().items():
            family = FAMILIES[kind]
            self._books[family].enqueued += level.rows
            if level.rows:
                self._telemetry.count("messages_enqueued", level.rows, topic_family=family)
            self._gauge(family)

    # --- in --------------------------------------------------------------------------------------

    def put(self, entry: Entry, now: float) -> None:
        if not entry.is_durable:
            self._memory.put(entry, now)
            return
        (message,) = entry.messages
        if self._closed is not None:
            self.refuse(entry.family, self._closed)
            return
        kind = KINDS[entry.family]
        row = NewRow(
            kind=kind,
            route=message.route,
            topic=message.topic,
            content_type=message.content_type,
            payload=message.payload,
            evidence_id=message.topic.split("/")[-2] if kind is Kind.EVIDENCE else "",
        )

        def work(_connection: object) -> None:
            row_id, dropped = self._spool.add(row)
            self._store.database.after_commit(lambda: self._added(entry, row_id, dropped))

        self._store.database.run(work)

    def _added(self, entry: Entry, row_id: int, dropped: Sequence[Dropped]) -> None:
        with self._lock:
            family = entry.family
            self._books[family].enqueued += 1
            self._telemetry.count("messages_enqueued", topic_family=family)
            self._apply(dropped)
            if row_id == 0:
                self._drop(family, 1, "spool_full")
                return
            self._gauge(family)
            lane = self._lanes[KINDS[family]]
            if self._connected and row_id > lane.horizon:
                lane.live.append(row_id)
                if self._cache_bytes + entry.size_bytes <= CACHE_BYTES:
                    self._cache_bytes += entry.size_bytes
                    self._cache[row_id] = Entry(entry.messages, entry.made_mono, row_id)
        self.on_ready()

    def refuse(self, family: TopicFamily, reason: str) -> None:
        if family not in KINDS:
            self._memory.refuse(family, reason)
            return
        with self._lock:
            self._books[family].enqueued += 1
            self._telemetry.count("messages_enqueued", topic_family=family)
            self._drop(family, 1, reason)

    # --- out -------------------------------------------------------------------------------------

    def take(self, now: float) -> Entry | None:
        with self._lock:
            first, last = ROUTES["event_alarm"].rank, ROUTES["evidence"].rank
            entry = (
                self._memory.take(now, first)
                or self._take_live(Kind.ALARM)
                or self._memory.take(now, last)
                or self._take_live(Kind.EVIDENCE)
                or self._take_live(Kind.EXPLANATION)
            )
            if entry is None and self._drained:
                entry = self._take_old(now)
            if entry is None:
                entry = self._memory.take(now)
            if entry is None and not self._drained and self._connected:
                self._drained = True
                entry = self._take_old(now)
            return entry

    def _take_live(self, kind: Kind) -> Entry | None:
        lane = self._lanes[kind]
        while lane.live:
            row_id = lane.live.popleft()
            entry = self._uncache(row_id)
            if entry is None and (row := self._spool.get(row_id)) is not None:
                entry = _entry(row, replayed=False)
            if entry is not None:
                self._in_flight[row_id] = False
                return entry
        return None

    def _take_old(self, now: float) -> Entry | None:
        if sum(self._in_flight.values()) >= REPLAY_IN_FLIGHT_MAX or self._pace.wait_s(now) > 0:
            return None
        for kind in Kind:
            if kind is Kind.ALARM and now < self._pause_until:
                continue
            row = self._next_old(kind)
            if row is None:
                continue
            self._pace.spend()
            family = FAMILIES[kind]
            if row.acked:  # delivered once already: it is entered into the books anew
                self._books[family].enqueued += 1
                self._telemetry.count("messages_enqueued", topic_family=family)
                self._gauge(family)
            self._telemetry.count("messages_replayed", topic_family=family)
            self._in_flight[row.id] = True
            return _entry(row, replayed=True)
        return None

    def _next_old(self, kind: Kind) -> Row | None:
        lane = self._lanes[kind]
        while True:
            while lane.page:
                row = lane.page.popleft()
                if row.id not in self._in_flight and row.id not in self._vanished:
                    return row
            if lane.read:
                return None
            self._flush()  # so that the table knows what was answered
            rows = self._spool.page(kind, lane.cursor, lane.horizon, self._acked_before, PAGE_ROWS)
            lane.read = len(rows) < PAGE_ROWS
            lane.page.extend(rows)
            if rows:
                lane.cursor = rows[-1].id

    def due_in(self, now: float) -> float:
        with self._lock:
            if not (self._connected and self._drained):
                return math.inf
            waits = [
                max(0.0, self._pause_until - now) if kind is Kind.ALARM else 0.0
                for kind, lane in self._lanes.items()
                if lane.page or not lane.read
            ]
            if not waits or sum(self._in_flight.values()) >= REPLAY_IN_FLIGHT_MAX:
                return math.inf
            return max(min(waits), self._pace.wait_s(now))

    # --- answers ---------------------------------------------------------------------------------

    def settle(self, entry: Entry, message: Message, reason: str | None) -> None:
        if not entry.is_durable:
            self._memory.settle(entry, message, reason)
            return
        with self._lock:
            row_id, family = entry.spool_id, entry.family
            self._in_flight.pop(row_id, None)
            if row_id in self._vanished:
                self._vanished.discard(row_id)
                return
            self._answers.since = min(self._answers.since, self._clock())
            if reason is None:
                self._answers.acked.append(row_id)
                self._books[family].delivered += 1
                self._telemetry.count("messages_delivered", topic_family=family)
                self._gauge(family)
            elif family is TopicFamily.EVENT and reason not in PERMANENT:
                self._go_on_waiting(row_id, reason)
            else:
                self._answers.gone.append(row_id)
                self._drop(family, 1, reason)

    def _go_on_waiting(self, row_id: int, reason: str) -> None:
        if reason == NO_SUBSCRIBERS:
            self._answers.unheard.append(row_id)
        lane = self._lanes[Kind.ALARM]
        lane.rewind(min(lane.cursor, row_id - 1), max(lane.horizon, row_id))
        self._pause_until = self._clock() + UNHEARD_RETRY_S

    def _flush(self) -> None:
        answers, self._answers = self._answers, _Answers()
        if len(answers):
            self._spool.settle(answers.acked, answers.gone, answers.unheard)

    # --- the connection --------------------------------------------------------------------------

    def lost(self, entries: Sequence[tuple[Entry, tuple[Message, ...]]]) -> None:
        self._memory.lost([lost for lost in entries if not lost[0].is_durable])
        with self._lock:
            self._replay_acked = self._replay_acked or self._connected
            self._connected = self._drained = False
            self._in_flight.clear()
            self._vanished.clear()
            self._forget_live()
            self._flush()

    def snapshot(self, now: float) -> None:
        self._memory.snapshot(now)
        with self._lock:
            self._read_from_the_start()
            self._acked_before = now if self._replay_acked else -math.inf
            self._pause_until = -math.inf
            self._connected, self._drained = True, False

    def _read_from_the_start(self) -> None:
        self._flush()
        self._forget_live()
        horizon = self._spool.last_id()
        for lane in self._lanes.values():
            lane.rewind(0, horizon)

    def _forget_live(self) -> None:
        for lane in self._lanes.values():
            lane.live.clear()
        self._cache.clear()
        self._cache_bytes = 0

    def waiting(self) -> int:
        with self._lock:
            return self._memory.waiting() + sum(len(lane.live) for lane in self._lanes.values())

    def discard(self, reason: str) -> None:
        self._memory.discard(reason)
        with self._lock:
            self._drained = False  # nothing more is replayed
            for lane in self._lanes.values():
                lane.rewind(0, 0)
                lane.read = True
            self._forget_live()

    def close(self, reason: str, *, clean: bool = False) -> None:
        self._memory.close(reason)
        with self._lock:
            self._closed = reason
            self._flush()
            if self._store.database.path is None:
                for family, book in self._books.items():
                    self._drop(family, book.in_flight, reason)
        self._store.counters.set(CLEAN, int(clean))

    # --- time ------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        with self._lock:
            if len(self._answers) >= FLUSH_MAX or now - self._answers.since >= FLUSH_S:
                self._flush()
            if now < self._housekeeping_at:
                return
            self._housekeeping_at = now + HOUSEKEEPING_S
            self._flush()
            self._apply(self._spool.expire())
        self._store.database.tick(now)
        self._spool.look_at_disk()
        if self._store.database.generation != self._generation:
            self._look_again()
        self._measure(now)

    def _look_again(self) -> None:
        """The tables are others than before: a disk failed or came back, or a file was replaced.

        What only a failed disk has goes on waiting in the books, until that comes back.
        """
        with self._lock:
            self._generation = self._store.database.generation
            self._flush()
            if self._store.status().degraded:
                return
            for kind, level in self._spool.levels().items():
                family = FAMILIES[kind]
                unknown = level.rows - self._books[family].in_flight
                if unknown > 0:  # sent meanwhile, and waiting in the file all the same
                    self._books[family].enqueued += unknown
                    self._telemetry.count("messages_enqueued", unknown, topic_family=family)
                self._drop(family, max(0, -unknown), "storage_lost")
            if self._connected:
                if all(lane.read for lane in self._lanes.values()):
                    self._acked_before = -math.inf  # they have been sent again already
                self._read_from_the_start()

    def _measure(self, now: float) -> None:
        used, _file = self._store.database.size_bytes()
        self._telemetry.gauge("storage_bytes", used)
        self._telemetry.gauge("storage_limit_bytes", self._spool.limit_bytes)
        limits = {
            Kind.ALARM: self._settings.alarm_age_s,
            Kind.EVIDENCE: self._settings.evidence_age_s,
            Kind.EXPLANATION: self._settings.explanation_age_s,
        }
        for kind, family in FAMILIES.items():
            made = self._spool.oldest_mono(kind)
            age_s = max(0.0, now - made) if made is not None else 0.0
            self._telemetry.gauge("spool_oldest_seconds", age_s, topic_family=family)
            self._telemetry.gauge("spool_age_limit_seconds", limits[kind], topic_family=family)

    # --- books -----------------------------------------------------------------------------------

    def books(self) -> Mapping[TopicFamily, Book]:
        """Return the counts of every family."""
        with self._lock:
            mine = {
                family: Book(book.enqueued, book.delivered, book.dropped)
                for family, book in self._books.items()
            }
        return {**self._memory.books(), **mine}

    def _apply(self, dropped: Iterable[Dropped]) -> None:
        """Enter into the books what the spool let go."""
        for one in dropped:
            ids = set(one.ids)
            answered = len(ids.intersection((*self._answers.acked, *self._answers.gone)))
            self._vanished |= ids.intersection(self._in_flight)
            for row_id in ids.intersection(self._cache):
                self._uncache(row_id)
            lost = max(0, one.count - answered)
            self._drop(FAMILIES[one.kind], lost, one.reason)
            if one.kind is Kind.ALARM and one.reason == "spool_full" and lost:
                self._store.database.note_loss("alarm messages did not fit any more")

    def _uncache(self, row_id: int) -> Entry | None:
        entry = self._cache.pop(row_id, None)
        if entry is not None:
            self._cache_bytes -= entry.size_bytes
        return entry

    def _drop(self, family: TopicFamily, amount: int, reason: str) -> None:
        if amount:
            self._books[family].dropped += amount
            self._telemetry.count("messages_dropped", amount, topic_family=family, reason=reason)
        self._gauge(family)

    def _gauge(self, family: TopicFamily) -> None:
        self._telemetry.gauge(
            "messages_in_flight", self._books[family].in_flight, topic_family=family
        )


def _entry(row: Row, *, replayed: bool) -> Entry:
    payload = row.payload
    if replayed and payload.endswith(_MARK):
        payload = payload[: -len(_MARK)] + b'"replayed":true}'
    message = Message(row.topic, row.route, payload, row.content_type)
    return Entry((message,), row.made_mono, row.id)


def _nothing() -> None:
    pass
