"""Our own births as the broker gives them back: whether they came, and whose else's. Pure.

A denied QoS 0 publish is invisible in every version of MQTT, and a second node of our name would
make the tags of both stale. The node therefore subscribes to its own NBIRTH. One that does not come
back is sent again, as what a broker has refused: an access list may change. It is after
``AGAIN_FIRST_S``, and then after twice the time each time, since a broker may give the birth to
everybody but us.
"""

from __future__ import annotations

import math
from collections import deque

AGAIN_FIRST_S = 30.0
AGAIN_MAX_S = 3600.0


class BirthEcho:
    """Compares NBIRTH payloads; one that was sent must come back within ``limit_s``."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._sent: deque[bytes] = deque(maxlen=2)
        self._due: float | None = None
        self._again_s = AGAIN_FIRST_S
        self.again_at = math.inf
        """When another birth is to go out, as the last one did not come back."""

    def disconnected(self) -> None:
        """Nothing comes back any more, and these births prove nothing on the next connection."""
        self._sent.clear()
        self._due, self.again_at, self._again_s = None, math.inf, AGAIN_FIRST_S

    def sent(self, payload: bytes, now: float) -> None:
        """An NBIRTH goes out."""
        self._sent.append(payload)
        self._due, self.again_at = now + self._limit_s, math.inf

    def seen(self, payload: bytes) -> bool:
        """Take an NBIRTH under our name; whether it is our own."""
        if payload not in self._sent:
            return False
        self._due, self.again_at, self._again_s = None, math.inf, AGAIN_FIRST_S
        return True

    def overdue(self, now: float) -> bool:
        """Whether our own birth did not come back in time; true once a birth."""
        if self._due is None or now < self._due:
            return False
        self._due = None
        self.again_at = now + self._again_s
        self._again_s = min(AGAIN_MAX_S, 2 * self._again_s)
        return True
