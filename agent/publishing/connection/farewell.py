"""The orderly end of a connection: what waits is sent, a last message, then DISCONNECT. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from agent.publishing.wire.messages import Entry

LAST_MESSAGE_SHARE = 0.4
"""Share of the time that is kept for the last message and its acknowledgement."""


class Step(enum.Enum):
    """What is to be done next."""

    WAIT = "wait"
    LAST_MESSAGE = "last_message"
    DISCONNECT = "disconnect"
    CLOSE = "close"  # the time is over; the broker will publish the will


@dataclass(slots=True)
class Farewell:
    """One end under way. ``reason`` is empty where no other connection is to follow.

    ``message`` is the last one, None where there is none; ``sent`` once it was handed over.
    """

    flush_until: float
    until: float
    reason: str = ""
    sent: bool = False
    message: Entry | None = None
    acknowledged: bool = False
    disconnecting: bool = False

    @classmethod
    def within(cls, timeout_s: float, now: float, reason: str = "") -> Farewell:
        return cls(now + (1 - LAST_MESSAGE_SHARE) * timeout_s, now + timeout_s, reason)

    @classmethod
    def without_message(cls, timeout_s: float, now: float) -> Farewell:
        """The end of a connection of which the broker is to notice nothing but a DISCONNECT."""
        return cls(now, now + timeout_s, sent=True)

    @property
    def due_at(self) -> float:
        """When the next step is due even if the broker answers nothing."""
        return self.until if self.sent else self.flush_until

    def step(self, now: float, waiting: int, *, idle: bool) -> Step:
        """``waiting`` is the number of messages that could still be sent; ``idle``: the broker has
        answered all that were."""
        if now >= self.until:
            return Step.CLOSE
        if not self.sent:
            busy = waiting > 0 or not idle
            return Step.WAIT if busy and now < self.flush_until else Step.LAST_MESSAGE
        return Step.DISCONNECT if idle and not self.disconnecting else Step.WAIT
