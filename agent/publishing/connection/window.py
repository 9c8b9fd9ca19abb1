"""What the broker has been handed and has not answered yet: bounded, and watched for time-outs."""

from __future__ import annotations

from dataclasses import dataclass

from agent.publishing.wire.messages import Entry, Message


@dataclass(frozen=True, slots=True)
class InFlight:
    """One message that the broker has not answered."""

    entry: Entry
    message: Message
    qos: int
    sent_mono: float


class Window:
    """Messages by the number that paho gave them, oldest first."""

    def __init__(self) -> None:
        self._flights: dict[int, InFlight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def add(self, mid: int, flight: InFlight) -> None:
        self._flights[mid] = flight

    def answered(self, mid: int) -> InFlight | None:
        """Take a message out; None for a number that is not (or no longer) known."""
        return self._flights.pop(mid, None)

    def overdue(self, now: float, timeout_s: float) -> InFlight | None:
        """Return the oldest message if it has waited for longer than ``timeout_s``."""
        oldest = next(iter(self._flights.values()), None)
        if oldest is not None and now - oldest.sent_mono > timeout_s:
            return oldest
        return None

    def flights(self) -> tuple[InFlight, ...]:
        """Return everything that has not been answered, oldest first."""
        return tuple(self._flights.values())

    def clear(self) -> list[InFlight]:
        """Take everything out, oldest first."""
        flights = list(self._flights.values())
        self._flights.clear()
        return flights
