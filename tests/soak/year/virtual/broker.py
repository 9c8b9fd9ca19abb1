"""A broker without sockets: what a connection would hear of it, on a made clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.publishing.connection.connection import CONNECT_TIMEOUT_S, ConnectRequest
from agent.publishing.connection.events import (
    Answered,
    Ended,
    Event,
    Opened,
    Received,
    Subscribed,
)
from agent.publishing.connection.link import V5, Cause
from agent.publishing.wire.messages import Message

SUCCESS = "success"
KNOWN_MAX = 10_000
"""Messages that are remembered, to see whether any came twice or never."""


@dataclass(slots=True)
class Broker:
    """``connects``: what a connect ends in, empty for a connection. ``answers``: what is said of a
    message by the family of its topic, ``*`` for all: a reason, or ``never``."""

    connects: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    limit_bytes: int = 1 << 30
    hangs_up_at: str = ""
    waiting: deque[Received] = field(default_factory=deque)
    events: dict[str, int] = field(default_factory=dict)
    """How often the event of each id has come."""
    taken: int = 0
    connection: Connection | None = None

    def connect(self, request: ConnectRequest, _wake: Callable[[], None], now: float) -> Connection:
        """In the place of ``Connection``."""
        self.connection = Connection(request, self, now)
        return self.connection

    def cut(self, cause: Cause, why: str = "planted") -> None:
        """End the connection that stands."""
        if self.connection is not None:
            self.connection.ended(cause, why)

    def say(self, topic: str, payload: bytes, *, retained: bool = False, now: float = 0.0) -> None:
        """A message for the agent, as soon as it is connected."""
        self.waiting.append(Received(topic, payload, retained, arrived_mono=now))


class Connection:
    """Stands in for the connection over a socket."""

    def __init__(self, request: ConnectRequest, broker: Broker, now: float) -> None:
        self.retain = True
        self._request = request
        self._broker = broker
        self._since = now
        self._mid = 0
        self._events: deque[Event] = deque()
        self._open = self._over = False

    def fileno(self) -> int | None:
        return None

    def wants_write(self) -> bool:
        return False

    def connecting(self) -> bool:
        return False

    def ended(self, cause: Cause, why: str) -> None:
        """It is over; nothing comes after it."""
        if not self._over:
            self._over = True
            self._events.append(Ended(cause, why))

    def step(self, now: float) -> list[Event]:
        """What happened since the last step."""
        if not self._over and not self._open:
            self._connect(now)
        elif self._open and not self._over:
            while self._broker.waiting:
                self._events.append(self._broker.waiting.popleft())
        found = list(self._events)
        self._events.clear()
        return found

    def _connect(self, now: float) -> None:
        how = self._broker.connects
        if how == "no_answer":
            if now - self._since >= CONNECT_TIMEOUT_S:
                self.ended(Cause.NO_ANSWER, f"nothing within {CONNECT_TIMEOUT_S:g} s")
        elif how == Cause.UNSUPPORTED and self._request.protocol != V5:
            self._opened()
        elif how == Cause.NO_RETAIN and not self._request.will_retain:
            self._opened(retain=False)
        elif how:
            self.ended(Cause(how), "planted")
        else:
            self._opened()

    def _opened(self, *, retain: bool = True) -> None:
        self._open = True
        self._request.will()
        limit = self._broker.limit_bytes
        self._events.append(Opened(packet_limit_bytes=limit, retain=retain))

    def publish(self, message: Message, qos: int, _age_s: float = 0.0) -> int | None:
        """Take a message; its answer comes with the next step."""
        if self._over:
            return None
        self._mid += 1
        broker, family = self._broker, str(message.family)
        if broker.hangs_up_at and message.topic.endswith(broker.hangs_up_at):
            self.ended(Cause.LOST, "the broker closed the connection")
            return self._mid
        reason = broker.answers.get(family, broker.answers.get("*", SUCCESS))
        if reason == "never":
            return self._mid
        if reason == SUCCESS:
            self._took(message)
        refused = reason not in (SUCCESS, "no_matching_subscribers")
        self._events.append(Answered(self._mid, refused and qos > 0, reason))
        return self._mid

    def _took(self, message: Message) -> None:
        broker = self._broker
        broker.taken += 1
        if message.topic.endswith("/status"):  # the agent subscribes to its own
            self._events.append(Received(message.topic, message.payload, retained=False))

    def subscribe(self, _topic: str, *, state: bool = False, stored: bool = True) -> int | None:
        """Accept a subscription."""
        if self._over:
            return None
        self._mid += 1
        denied = self._broker.answers.get("subscribe", "")
        self._events.append(Subscribed(self._mid, not denied, denied or "granted_qos_1"))
        return self._mid

    def disconnect(self, *, with_will: bool = False) -> None:
        if not self._over:
            self._over = True
            self._events.append(Ended(Cause.LOST, "ended in order", wanted=True))

    def abort(self) -> None:
        self._over = True
