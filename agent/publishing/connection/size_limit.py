"""Which size of message a broker hangs up at, where it does not say so. Pure.

A broker of MQTT 5 names the largest packet that it takes (section 3.2.2.3.6). One of 3.1.1 cannot,
and mosquitto 2.0 with ``message_size_limit`` answers with a reason that no PUBACK may have (section
3.4.2.1): the connection ends, and a message that is sent again after every connect would end each
of them. So after a connection that ended with messages unanswered, whatever is larger than all that
the new one has answered goes alone, which shows at what the broker hangs up. What it hung up at
``STRIKES`` times in a row, while it answered smaller ones, is too large, and so is everything of
that size, until ``FORGET_S`` have passed. Pictures are of any size: while one is known to be too
large, a smaller one is after a single time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from agent.publishing.connection.events import UNLIMITED

STRIKES = 3
FORGET_S = 3600.0
"""How long a size is believed to be too large: the broker may have been given another limit."""


class Hangups:
    """Fed with the sizes that went out, were answered, and were not, in bytes."""

    def __init__(self) -> None:
        self._limit_bytes = UNLIMITED
        self._until = math.inf
        self._careful = False
        self._answered = 0  # the largest that this connection has answered
        self._alone: int | None = None  # on its way, and nothing else
        self._struck: list[int] = []

    def limit_bytes(self, now: float) -> int:
        """Return the size up to which messages may be sent."""
        if now >= self._until:
            self._limit_bytes, self._until = UNLIMITED, math.inf
        return self._limit_bytes

    def opened(self) -> None:
        """A new connection stands."""
        self._answered, self._alone = 0, None

    def goes_alone(self, size_bytes: int) -> bool:
        """Whether a message of this size is to be sent while no other is on its way."""
        return self._careful and size_bytes > self._answered

    def sent_alone(self, size_bytes: int) -> None:
        """Such a message is on its way; nothing may follow it while ``waits``."""
        self._alone = size_bytes

    def waits(self) -> bool:
        """Whether a message that was sent alone has not been answered yet."""
        return self._alone is not None

    def answered(self, size_bytes: int) -> None:
        """The broker has answered a message, whatever it said."""
        self._answered = max(self._answered, size_bytes)
        self._alone = None
        if self._struck and size_bytes >= min(self._struck):
            self._struck.clear()

    def hung_up(self, unanswered: Sequence[int], now: float) -> int | None:
        """The broker ended the connection; return a size that has turned out to be too large.

        ``unanswered`` are the sizes of messages that may be the reason.
        """
        self._careful = bool(unanswered)
        if self._alone is None or self._alone not in unanswered or not self._answered:
            return None
        self._struck.append(self._alone)
        known = self.limit_bytes(now) < UNLIMITED
        if len(self._struck) < STRIKES and not known:
            return None
        smallest = min(self._struck)
        self._struck.clear()
        self._limit_bytes, self._until = smallest - 1, now + FORGET_S
        return smallest
