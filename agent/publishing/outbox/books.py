"""The books of the messages, per topic family: enqueued = delivered + dropped + in flight.

In flight is everything that waits, or was handed to the broker and has no answer yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.records import TopicFamily
from agent.telemetry import Telemetry


@dataclass(slots=True)
class Book:
    """Counts of one family; ``in_flight`` is what the others leave."""

    enqueued: int = 0
    delivered: int = 0
    dropped: int = 0

    @property
    def in_flight(self) -> int:
        return self.enqueued - self.delivered - self.dropped


class Books:
    """The counts of some families, and their metrics. For one thread at a time."""

    def __init__(self, families: Iterable[TopicFamily], telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._books = {family: Book() for family in families}

    def in_flight(self, family: TopicFamily) -> int:
        """Return how many messages of a family are in flight."""
        return self._books[family].in_flight

    def enqueued(self, family: TopicFamily, amount: int = 1) -> None:
        """Enter messages that were made."""
        self._books[family].enqueued += amount
        if amount:
            self._telemetry.count("messages_enqueued", amount, topic_family=family)
        self._gauge(family)

    def delivered(self, family: TopicFamily) -> None:
        """Enter one message that the broker has."""
        self._books[family].delivered += 1
        self._telemetry.count("messages_delivered", topic_family=family)
        self._gauge(family)

    def dropped(self, family: TopicFamily, amount: int, reason: str) -> None:
        """Enter messages that will not be sent (again)."""
        if amount:
            self._books[family].dropped += amount
            self._telemetry.count("messages_dropped", amount, topic_family=family, reason=reason)
            self._gauge(family)

    def _gauge(self, family: TopicFamily) -> None:
        self._telemetry.gauge(
            "messages_in_flight", self._books[family].in_flight, topic_family=family
        )
