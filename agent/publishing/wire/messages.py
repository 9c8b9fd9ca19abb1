"""What waits for the broker: single messages, and entries of messages that belong together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.publishing.wire.topics import ROUTES, Buffering, Route
from agent.records import TopicFamily

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Message:
    """One publish. ``captured_mono`` > 0 asks for its latency to be observed at the PUBACK."""

    topic: str
    route: str
    payload: bytes
    content_type: str = JSON
    lane: str = ""
    captured_mono: float = 0.0
    frame_id: str = ""
    correlation: bytes = b""  # of the request that this answers; MQTT 5 only

    @property
    def spec(self) -> Route:
        return ROUTES[self.route]

    @property
    def family(self) -> TopicFamily:
        return self.spec.family


@dataclass(frozen=True, slots=True)
class Entry:
    """Messages that go out one right after the other, or not at all: a CAM's image and its meta.

    ``key`` names the state that a newer entry replaces; of the last message's topic by default.
    """

    messages: tuple[Message, ...]
    made_mono: float
    spool_id: int = 0  # of the row that keeps it over a restart; 0: none does
    delivered: Callable[[], None] | None = None  # of a state: called once the broker has taken it

    @property
    def key(self) -> str:
        return self.messages[-1].topic

    @property
    def route(self) -> Route:
        return self.messages[-1].spec

    @property
    def is_event(self) -> bool:
        return self.route.buffering is not Buffering.STATE

    @property
    def is_durable(self) -> bool:
        return self.route.buffering is Buffering.DURABLE

    @property
    def family(self) -> TopicFamily:
        return self.route.family

    @property
    def size_bytes(self) -> int:
        return sum(len(message.payload) for message in self.messages)

    def expired(self, now: float) -> bool:
        """Whether a subscriber would no longer be given it."""
        return 0 < self.route.expiry_s <= now - self.made_mono
