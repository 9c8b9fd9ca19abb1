"""The orderly end of a connection: what waits goes out, then a last word, then DISCONNECT. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from agent.publishing.wire.messages import Entry

FAREWELL_SHARE = 0.4
"""Share of the time that is kept for the last message and its answer."""


class Step(enum.Enum):
    """What is to be done next."""

    WAIT = "wait"
    FAREWELL = "farewell"
    DISCONNECT = "disconnect"
    CUT = "cut"  # the time is over; the broker will publish the will


@dataclass(slots=True)
class Leave:
    """One end under way. ``why`` is empty where no other connection is to follow."""

    flush_until: float
    until: float
    why: str = ""
    told: bool = False
    farewell: Entry | None = None
    acknowledged: bool = False
    disconnecting: bool = False

    @classmethod
    def within(cls, timeout_s: float, now: float, why: str = "") -> Leave:
        return cls(now + (1 - FAREWELL_SHARE) * timeout_s, now + timeout_s, why)

    @property
    def due_at(self) -> float:
        """When the next step is due even if the broker says nothing."""
        return self.until if self.told else self.flush_until

    def step(self, now: float, waiting: int, *, idle: bool) -> Step:
        """``waiting`` is the number of messages that could still go out; ``idle``: the broker has
        answered all that did."""
        if now >= self.until:
            return Step.CUT
        if not self.told:
            busy = waiting > 0 or not idle
            return Step.WAIT if busy and now < self.flush_until else Step.FAREWELL
        return Step.DISCONNECT if idle and not self.disconnecting else Step.WAIT
