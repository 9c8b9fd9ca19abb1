"""What waits in memory. State topics keep only the newest; events wait in bounded queues."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from agent.publishing.outbox.books import Books
from agent.publishing.outbox.outbox import LIVE_RANK, PERMANENT, REFUSED_RETRY_S
from agent.publishing.wire.messages import Entry, Message
from agent.records import TopicFamily
from agent.telemetry import Telemetry

EVENT_BYTES_MAX = 16 * 1024 * 1024
"""Memory that the waiting events of one family may hold, whatever their number."""

NEWS_FIRST = 2
"""States that rank below go first in a snapshot too: that the agent is there, and what it is."""


@dataclass(slots=True)
class _State:
    entry: Entry
    rank: float | None = None  # at which it waits; None: it does not
    delivered: bool = False


class MemoryOutbox:
    """Keeps the newest of up to ``cap`` state topics, and up to ``cap`` events a family.

    A state that is only said again, after a connect or a refusal, goes out after the live messages.
    """

    def __init__(self, cap: int, telemetry: Telemetry) -> None:
        self._cap = cap
        self._lock = threading.Lock()
        self._closed: str | None = None  # why nothing is accepted any more
        self._states: dict[str, _State] = {}
        # What the broker refused, and when it is offered again: states by their keys, events.
        self._refused: dict[str, float] = {}
        self._refused_events: deque[tuple[float, Entry]] = deque(maxlen=cap)
        self._ready: dict[float, OrderedDict[str, None]] = defaultdict(OrderedDict)
        self._events: dict[float, deque[Entry]] = defaultdict(deque)
        self._event_bytes: dict[float, int] = defaultdict(int)
        self._books = Books(TopicFamily, telemetry)

    def resize(self, cap: int) -> None:
        """Keep up to ``cap`` from now on; what is too many goes as others come."""
        with self._lock:
            self._cap = cap
            self._refused_events = deque(self._refused_events, maxlen=cap)

    # --- for ``DurableOutbox``: what its methods of the same names do with what is not durable ---

    def put(self, entry: Entry, now: float) -> None:
        with self._lock:
            self._enqueue(entry)
            if self._closed is not None:
                self._books.dropped(entry.family, len(entry.messages), self._closed)
            elif entry.is_event:
                self._put_event(entry, now)
            else:
                self._put_state(entry)

    def refuse(self, family: TopicFamily, reason: str) -> None:
        with self._lock:
            self._books.enqueued(family)
            self._books.dropped(family, 1, reason)

    def take(self, now: float, below_rank: float = math.inf) -> Entry | None:
        with self._lock:
            for rank in sorted({*self._ready, *self._events}):
                if rank >= below_rank:
                    break
                for entry in self._take_rank(rank):
                    if not entry.expired(now):
                        return entry
                    self._books.dropped(entry.family, len(entry.messages), "expired")
            return None

    def settle(self, entry: Entry, message: Message, reason: str | None, now: float) -> None:
        with self._lock:
            state = self._states.get(entry.key)
            newest = state is not None and state.entry is entry
            if reason is not None:
                self._books.dropped(message.family, 1, reason)
                if reason in PERMANENT or self._closed is not None:
                    return
                if newest:
                    self._refused[entry.key] = now + REFUSED_RETRY_S
                elif entry.is_event and not entry.expired(now + REFUSED_RETRY_S):
                    self._refused_events.append((now + REFUSED_RETRY_S, entry))
                return
            whole = state is not None and newest and message is entry.messages[-1]
            if state is not None and whole:
                state.delivered = True
            self._books.delivered(message.family)
        if whole and entry.delivered is not None:
            entry.delivered()

    def lost(self, entries: Sequence[tuple[Entry, tuple[Message, ...]]]) -> None:
        with self._lock:
            self._refused.clear()  # the snapshot of the next connection offers them
            for entry, messages in reversed(entries):
                if entry.is_event:
                    self._events[entry.route.rank].appendleft(entry)
                    self._event_bytes[entry.route.rank] += entry.size_bytes
                else:
                    # The snapshot of the next connection sends the newest anyway.
                    self._books.dropped(entry.family, len(messages), "connection_lost")

    def snapshot(self, now: float) -> None:
        with self._lock:
            for key in list(self._states):
                self._say_again(key, now)

    def repeat(self, now: float) -> None:
        with self._lock:
            for key, state in list(self._states.items()):
                if state.rank is None and state.entry.route.rank < LIVE_RANK:
                    self._say_again(key, now)

    def tick(self, now: float) -> None:
        with self._lock:
            for key in [key for key, due in self._refused.items() if due <= now]:
                del self._refused[key]
                if self._states[key].rank is None:
                    self._say_again(key, now)
            while self._refused_events and self._refused_events[0][0] <= now:
                _, entry = self._refused_events.popleft()
                self._enqueue(entry)
                self._put_event(entry, now)

    def waiting(self) -> int:
        with self._lock:
            ready = sum(len(keys) for keys in self._ready.values())
            return ready + sum(len(queue) for queue in self._events.values())

    def discard(self, reason: str) -> None:
        with self._lock:
            self._refused.clear()
            self._refused_events.clear()
            for rank in {*self._ready, *self._events}:
                for entry in self._take_rank(rank):
                    self._books.dropped(entry.family, len(entry.messages), reason)

    def close(self, reason: str) -> None:
        self.discard(reason)
        with self._lock:
            self._closed = reason

    # --- states ---

    def _put_state(self, entry: Entry) -> None:
        state = self._states.get(entry.key)
        if state is None:
            if len(self._states) >= self._cap:
                self._evict()
            self._states[entry.key] = state = _State(entry)
        elif state.rank is not None:
            self._books.dropped(state.entry.family, len(state.entry.messages), "superseded")
        state.entry, state.delivered = entry, False
        self._refused.pop(entry.key, None)
        if state.rank is None or state.rank > entry.route.rank:
            self._wait(entry.key, state, entry.route.rank)

    def _say_again(self, key: str, now: float) -> None:
        state = self._states[key]
        rank = state.entry.route.rank
        again = float(rank) if rank < NEWS_FIRST else max(rank, LIVE_RANK)
        if state.rank is None:
            if state.entry.expired(now):
                self._forget(key)
                return
            if state.delivered:
                state.entry = _without_latency(state.entry)
            self._enqueue(state.entry)
        self._wait(key, state, again)

    def _wait(self, key: str, state: _State, rank: float) -> None:
        """Let a state wait at a rank, wherever it waited before."""
        if state.rank == rank:
            return
        if state.rank is not None:
            self._ready[state.rank].pop(key)
        state.rank = rank
        self._ready[rank][key] = None

    def _forget(self, key: str) -> _State:
        self._refused.pop(key, None)
        return self._states.pop(key)

    def _evict(self) -> None:
        """Forget the oldest of the least important states."""
        worst = max(state.entry.route.rank for state in self._states.values())
        key = next(key for key, state in self._states.items() if state.entry.route.rank == worst)
        state = self._forget(key)
        if state.rank is not None:
            self._ready[state.rank].pop(key)
            self._books.dropped(state.entry.family, len(state.entry.messages), "state_full")

    # --- events ---

    def _put_event(self, entry: Entry, now: float) -> None:
        rank = entry.route.rank
        queue = self._events[rank]
        queue.append(entry)
        self._event_bytes[rank] += entry.size_bytes
        while len(queue) > 1 and queue[0].expired(now):
            self._drop_oldest(rank, "expired")
        while len(queue) > self._cap or self._event_bytes[rank] > EVENT_BYTES_MAX:
            self._drop_oldest(rank, "queue_full")

    def _drop_oldest(self, rank: int, reason: str) -> None:
        entry = self._events[rank].popleft()
        self._event_bytes[rank] -= entry.size_bytes
        self._books.dropped(entry.family, len(entry.messages), reason)

    def _take_rank(self, rank: float) -> Iterator[Entry]:
        ready, queue = self._ready[rank], self._events[rank]
        while ready:
            key, _ = ready.popitem(last=False)
            state = self._states[key]
            state.rank = None
            yield state.entry
        while queue:
            entry = queue.popleft()
            self._event_bytes[rank] -= entry.size_bytes
            yield entry

    # --- books ---

    def _enqueue(self, entry: Entry) -> None:
        for message in entry.messages:
            self._books.enqueued(message.family)


def _without_latency(entry: Entry) -> Entry:
    """The same entry for a later connection: its latency has been observed once."""
    messages = tuple(replace(message, captured_mono=0.0) for message in entry.messages)
    return replace(entry, messages=messages)
