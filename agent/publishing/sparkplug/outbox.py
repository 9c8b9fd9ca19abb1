"""The edge node as the outbox of a session: what goes out next is what the node says now.

Other threads hand values over, bounded, and nobody waits. They stay here up to the session's next
turn, whether the broker is there or not: the node itself keeps them for after an outage
(``history``).
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence

from agent.publishing.sparkplug.births import Packet
from agent.publishing.sparkplug.node import EdgeNode
from agent.publishing.sparkplug.states import NodeState
from agent.publishing.sparkplug.tags import Sample
from agent.publishing.wire.messages import Entry, Message
from agent.telemetry import Clock, Telemetry

SAMPLES_MAX = 10_000
LEAST_WAIT_S = 0.01
"""A node that is due while the broker reads nothing must not make the loop spin."""


class NodeOutbox:
    """Implements ``Outbox`` for one thread: the owner of the session calls every method but
    ``offer`` and ``device``, which are for any thread."""

    def __init__(self, node: EdgeNode, telemetry: Telemetry, clock: Clock) -> None:
        self._node = node
        self._telemetry = telemetry
        self._clock = clock
        self._ready: deque[Entry] = deque()
        self._ending = False  # nothing but the death goes out any more
        self._lock = threading.Lock()  # guards what other threads hand over
        self._samples: deque[Sample] = deque()
        self._devices: dict[str, bool] = {}

    # --- from other threads ---

    def offer(self, sample: Sample) -> None:
        """Hand over a value; beyond the cap the oldest goes, counted."""
        with self._lock:
            self._samples.append(sample)
            if len(self._samples) <= SAMPLES_MAX:
                return
            self._samples.popleft()
        self._telemetry.count("sparkplug_samples", outcome="no_room")

    def device(self, name: str, alive: bool) -> None:
        """Say whether a device delivers; the newest word counts."""
        with self._lock:
            self._devices[name] = alive

    # --- for the session ---

    def put(self, entry: Entry, now: float) -> None:
        """Take the death of the node."""
        self._ready.append(entry)

    def take(self, now: float, *, live: bool = False) -> Entry | None:
        """``live`` makes no difference: a node's messages are numbered in their order."""
        if not self._ready and not self._ending:
            self._ready.extend(Entry((packet,), now) for packet in self._node.tick(now))
        return self._ready.popleft() if self._ready else None

    def settle(self, entry: Entry, message: Message, reason: str | None) -> None:
        if reason is None and isinstance(message, Packet):
            self._telemetry.count("sparkplug_messages", type=message.type)

    def lost(self, entries: Sequence[tuple[Entry, tuple[Message, ...]]]) -> None:
        self._ready.clear()
        if self._node.state is not NodeState.OFFLINE:
            self._node.disconnected(self._clock())

    def snapshot(self, now: float) -> None:
        self._ending = False

    def repeat(self, now: float) -> None:
        """Nothing of a node is retained anyway: hosts ask for births."""

    def waiting(self) -> int:
        return len(self._ready)

    def discard(self, reason: str) -> None:
        self._ready.clear()
        self._ending = True

    def close(self, reason: str, *, clean: bool = False) -> None:
        """Nothing that is put later goes anywhere."""

    def tick(self, now: float) -> None:
        with self._lock:
            devices, self._devices = self._devices, {}
            samples, self._samples = self._samples, deque()
        for name, alive in devices.items():
            self._node.device(name, alive)
        for sample in samples:
            self._node.offer(sample, now)

    def due_in(self, now: float) -> float:
        return math.inf if self._ending else max(LEAST_WAIT_S, self._node.due_in_s(now))
