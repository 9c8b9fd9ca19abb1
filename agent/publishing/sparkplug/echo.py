"""Our own births as the broker gives them back: whether they came, and whose else's. Pure.

A denied QoS 0 publish is invisible in every version of MQTT, and a second node of our name would
make the tags of both stale. The node therefore subscribes to its own NBIRTH.
"""

from __future__ import annotations

from collections import deque


class BirthEcho:
    """Compares NBIRTH payloads; one that was sent must come back within ``limit_s``."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._sent: deque[bytes] = deque(maxlen=2)
        self._due: float | None = None

    def disconnected(self) -> None:
        """Nothing comes back any more, and these births prove nothing on the next connection."""
        self._sent.clear()
        self._due = None

    def sent(self, payload: bytes, now: float) -> None:
        """An NBIRTH goes out."""
        self._sent.append(payload)
        self._due = now + self._limit_s

    def seen(self, payload: bytes) -> bool:
        """Take an NBIRTH under our name; whether it is our own."""
        if payload not in self._sent:
            return False
        self._due = None
        return True

    def overdue(self, now: float) -> bool:
        """Whether our own birth did not come back in time; true once a birth."""
        if self._due is None or now < self._due:
            return False
        self._due = None
        return True
