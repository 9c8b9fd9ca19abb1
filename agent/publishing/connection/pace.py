"""How many messages a second a connection is sent: as configured, and as a broker has taught. Pure.

Some brokers limit the messages of a client. One that says so ends the connection with reason 150
(message rate too high, section 4.13 of MQTT 5); others just close it. What is sent after a connect
is then closed in its middle again and again, and nobody ever sees the rest.

So a connection that is closed in the middle of a burst is remembered with the messages that the
broker took in its last second: at least those that it answered, at most those that were sent, and
the answers may be lost with the connection. ``CLOSES_MAX`` of about the same size in a row are no
accident: from then on ``SHARE`` of that is sent, and that part of it again where even that is too
fast. After a while the pace is doubled, until it limits nothing any more; each time that this was
wrong, the while is doubled.
"""

from __future__ import annotations

import math
from collections import deque

from agent.token_bucket import TokenBucket

CLOSES_MAX = 3
BURST_MIN = 10
"""Fewer messages in a second are no burst: the connection ended for another reason."""

SAID_MIN = 5
"""What a broker is believed to take at the least that says that it is sent too much."""

SHARE = 0.8
RELAX_S = 600.0
RELAX_MAX_S = 86_400.0
UNLIMITED_PER_S = 1000.0
"""A learnt pace that has relaxed beyond this limits nothing any more."""

BURST_SHARE = 0.05
"""Part of a second whose messages may go out at once: what comes in a clump is not held back."""


class Pace:
    """Fed with what is sent, answered and closed. ``configured_per_s`` 0: not limited.

    In no second are more messages sent than ``limit_per_s``.
    """

    def __init__(self, configured_per_s: float, now: float) -> None:
        self._configured = configured_per_s or math.inf
        self._learnt = math.inf
        self._relax_at = math.inf
        self._relax_s = RELAX_S
        self._sends: deque[float] = deque()  # times, of the last second
        self._answers: deque[float] = deque()
        self._bursts: list[int] = []  # that ended in a closed connection, in a row
        self._bucket: TokenBucket | None = None
        self._set(now)

    @property
    def limit_per_s(self) -> float:
        """Messages a second at most; infinity: not limited."""
        return min(self._configured, self._learnt)

    def wait_s(self, now: float) -> float:
        """Return how long the next message has to wait."""
        if now >= self._relax_at:
            self._relax(now)
        return self._bucket.wait_s(1.0, now) if self._bucket is not None else 0.0

    def sent(self, now: float) -> None:
        """A message was handed over."""
        _add(self._sends, now)
        if self._bucket is not None:
            self._bucket.spend(1.0, now)

    def opened(self) -> None:
        """A new connection stands."""
        self._sends.clear()
        self._answers.clear()

    def answered(self, now: float) -> None:
        """The broker has answered a message."""
        _add(self._answers, now)

    def closed(self, unanswered: int, now: float, *, said: bool = False) -> float | None:
        """The broker closed the connection; return the pace that this has taught, if it has.

        ``unanswered`` messages were under way. ``said``: the broker gave the rate as the reason.
        """
        burst = max(len(self._answers), len(self._sends) // 2)
        if said:
            return self._learn(max(SAID_MIN, burst), now)
        if not unanswered or burst < BURST_MIN:
            self._bursts.clear()
            return None
        self._bursts.append(burst)
        self._bursts = self._bursts[-CLOSES_MAX:]
        known = self._learnt < math.inf
        if not known and len(self._bursts) < CLOSES_MAX:
            return None
        if not known and max(self._bursts) > 2 * min(self._bursts):
            return None
        return self._learn(sorted(self._bursts)[len(self._bursts) // 2], now)

    def _learn(self, burst: int, now: float) -> float:
        if self._learnt < math.inf:
            self._relax_s = min(RELAX_MAX_S, 2 * self._relax_s)
        self._bursts.clear()
        self._learnt = max(1.0, SHARE * min(burst, self.limit_per_s))
        self._relax_at = now + self._relax_s
        self._set(now)
        return self._learnt

    def _relax(self, now: float) -> None:
        self._learnt *= 2
        self._relax_at = now + self._relax_s
        if self._learnt > min(UNLIMITED_PER_S, self._configured):
            self._learnt, self._relax_at = math.inf, math.inf
        self._set(now)

    def _set(self, now: float) -> None:
        limit = self.limit_per_s
        if math.isinf(limit):
            self._bucket = None
            return
        # What the bucket holds at first and what it gets in a second are together the limit.
        burst = max(1.0, BURST_SHARE * limit)
        self._bucket = TokenBucket(max(limit - burst, 0.5 * limit), burst, now)


def _add(times: deque[float], now: float) -> None:
    """Keep the times of the last second."""
    times.append(now)
    while times[0] <= now - 1.0:
        times.popleft()
