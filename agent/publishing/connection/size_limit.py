"""The largest packet that a broker takes, where it does not name it. Pure.

A broker of MQTT 5 names its Maximum Packet Size (section 3.2.2.3.6). One of 3.1.1 cannot, and
mosquitto 2.0 with ``message_size_limit`` answers with a reason that no PUBACK may have (section
3.4.2.1): the connection is closed. A message that is sent again after every connect would then
close each of them.

So after a connection that was closed with messages unanswered, whatever is larger than all that the
new one has acknowledged is sent alone, as a probe. A size that was probed ``CLOSES_MAX`` times in a
row, each time closing the connection while smaller ones were acknowledged, is too large. So is
everything of that size, until ``VALID_S`` have passed. Pictures are of any size: while one is known
to be too large, a smaller one is after a single probe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from agent.publishing.connection.events import UNLIMITED

CLOSES_MAX = 3
SUSPECT_FROM_BYTES = 4096
"""No broker is that small: what ends a connection at less is the topic."""
VALID_S = 3600.0
"""How long a size is believed to be too large: the broker may have been given another limit."""


class SizeLimit:
    """Fed with the sizes that were sent, acknowledged, and left unanswered, in bytes."""

    def __init__(self) -> None:
        self._limit_bytes = UNLIMITED
        self._until = math.inf
        self._suspicious = False
        self._acknowledged = 0  # the largest of this connection
        self._probe: int | None = None  # in flight, and nothing else is
        self._closed: list[int] = []  # probes at which the connection was closed

    def limit_bytes(self, now: float) -> int:
        """Return the size up to which messages may be sent."""
        if now >= self._until:
            self._limit_bytes, self._until = UNLIMITED, math.inf
        return self._limit_bytes

    def opened(self) -> None:
        """A new connection stands."""
        self._acknowledged, self._probe = 0, None

    def is_probe(self, size_bytes: int) -> bool:
        """Whether a message of this size is to be sent while no other is in flight."""
        return self._suspicious and size_bytes > max(self._acknowledged, SUSPECT_FROM_BYTES)

    def probe_sent(self, size_bytes: int) -> None:
        """Such a message is in flight; nothing may follow it while ``probing``."""
        self._probe = size_bytes

    def probing(self) -> bool:
        """Whether a probe has not been answered yet."""
        return self._probe is not None

    def answered(self, size_bytes: int) -> None:
        """The broker has answered a message, with whatever reason."""
        self._acknowledged = max(self._acknowledged, size_bytes)
        self._probe = None
        if self._closed and size_bytes >= min(self._closed):
            self._closed.clear()

    def closed(self, unanswered: Sequence[int], now: float) -> int | None:
        """The broker closed the connection; return a size that has turned out to be too large.

        ``unanswered`` are the sizes of messages that may be the reason.
        """
        self._suspicious = bool(unanswered)
        if self._probe is None or self._probe not in unanswered or not self._acknowledged:
            return None
        self._closed.append(self._probe)
        known = self.limit_bytes(now) < UNLIMITED
        if len(self._closed) < CLOSES_MAX and not known:
            return None
        smallest = min(self._closed)
        self._closed.clear()
        self._limit_bytes, self._until = smallest - 1, now + VALID_S
        return smallest
