"""What goes through one connection: taken from the outbox into a bounded window, and settled.

The first message of every topic after a connect goes out at QoS 1, and the next ones too until one
was accepted: a broker's denial of a QoS 0 publish is invisible in every version of MQTT.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.config import Mqtt
from agent.publishing.connection.connection import Connection
from agent.publishing.connection.events import UNLIMITED, Answered, Opened
from agent.publishing.connection.link import Cause
from agent.publishing.connection.pace import Pace
from agent.publishing.connection.size_limit import VALID_S, SizeLimit
from agent.publishing.connection.topic_limit import VALID_S as TOPIC_VALID_S
from agent.publishing.connection.topic_limit import TopicLimit
from agent.publishing.outbox.outbox import NO_SUBSCRIBERS, Outbox
from agent.publishing.wire.messages import Entry, Message
from agent.records import TopicFamily
from agent.telemetry import Telemetry, log_event

logger = logging.getLogger(__name__)

REFUSALS_LOGGED_MAX = 1000
HEADER_BYTES = 100
"""More than the fixed header, the properties and the lengths of a publish take."""

TOO_LARGE = "packet_too_large"
DENIED = "topic_denied"
"""The broker closes the connection at messages of this topic, or may be doing so."""

LIVE_SHARE = 0.2
"""Part of the window that is kept for live messages, so that a slow broker's answers to all others
hold none of them up."""

ALWAYS_SENT = frozenset({TopicFamily.STATUS, TopicFamily.ALARM, TopicFamily.EVENT})
"""Small, and what the agent is there for: a limit that was only found out does not hold them."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """One message that the broker has not answered."""

    entry: Entry
    message: Message
    qos: int
    sent_mono: float


class Sender:
    """Moves entries from the outbox to the connection, and the broker's answers back."""

    def __init__(
        self, mqtt: Mqtt, client: str, outbox: Outbox, telemetry: Telemetry, now: float
    ) -> None:
        self._mqtt = mqtt
        self._client = client
        self._outbox = outbox
        self._telemetry = telemetry
        self._window: dict[int, InFlight] = {}  # by the number that paho gave, oldest first
        self._limits = Opened()
        self._size_limit = SizeLimit()
        self._topic_limit = TopicLimit()
        self._pace = Pace(mqtt.publish_per_s, now)
        self._told_per_s = 0.0
        self._current: Entry | None = None
        self._next = 0  # index of the current entry's next message
        self._accepted: set[str] = set()
        self._refused: set[str] = set()
        self.heard = False
        """Whether the broker has answered a message on this connection."""

    def opened(self, limits: Opened) -> None:
        """A new connection stands, with the broker's limits."""
        self._limits = limits
        self._size_limit.opened()
        self._topic_limit.opened()
        self._pace.opened()
        self._accepted.clear()
        self._refused.clear()
        self.heard = False

    def idle(self) -> bool:
        """Whether nothing is half sent or unanswered."""
        return self._current is None and not self._window

    def has_room(self) -> bool:
        """Whether another message may be handed over before the broker has answered."""
        return len(self._window) < self._room() and not self.probing()

    def due_in(self, now: float) -> float:
        """Return in how many seconds there may be something to send; infinity: not by itself."""
        if not self.has_room():
            return math.inf
        return self._pace.wait_s(now) or self._outbox.due_in(now)

    def probing(self) -> bool:
        """Whether one message is in flight alone, to see what the broker makes of it."""
        return self._size_limit.probing() or self._topic_limit.probing()

    def _room(self) -> int:
        return min(self._mqtt.in_flight_max, self._limits.receive_maximum)

    def send(self, connection: Connection, now: float, *, may_probe: bool = True) -> None:
        """Hand over what the window and the pace have room for.

        ``may_probe`` false: something else is under way alone, and suspects wait.
        """
        if self._pace.limit_per_s != self._told_per_s:
            self._tell_pace()
        while self.has_room() and not self._pace.wait_s(now):
            if self._current is None:
                room = self._room()
                live = len(self._window) >= room - int(LIVE_SHARE * room)
                self._current, self._next = self._outbox.take(now, live=live), 0
            entry = self._current
            if entry is None:
                return
            rest = entry.messages[self._next :]
            limit_bytes = self._limit_bytes(entry, now)
            if any(_packet_bytes(message) > limit_bytes for message in rest):
                self._refuse(entry, rest, TOO_LARGE, limit_bytes=limit_bytes)
                self._current = None
                continue
            if self._is_barred(rest[0].topic, now):
                self._refuse(entry, rest, DENIED)  # it is offered again
                self._current = None
                continue
            if not may_probe and self._topic_limit.is_probe(rest[0].topic):
                return
            if not self._hand_over(connection, entry, rest[0], now):
                return
            self._next += 1
            if len(rest) == 1:
                self._current = None

    def _limit_bytes(self, entry: Entry, now: float) -> int:
        named = self._limits.packet_limit_bytes
        probed = UNLIMITED if entry.family in ALWAYS_SENT else self._size_limit.limit_bytes(now)
        return min(named, probed)

    def _hand_over(
        self, connection: Connection, entry: Entry, message: Message, now: float
    ) -> bool:
        """Publish one message; false when it cannot go out now."""
        size_bytes = _packet_bytes(message)
        known = message.topic in self._accepted or not message.spec.probed
        qos = min(message.spec.qos if known else 1, self._limits.maximum_qos)
        by_size = message.spec.probed and self._size_limit.is_probe(size_bytes)
        by_topic = message.spec.probed and not by_size and self._topic_limit.is_probe(message.topic)
        if (by_size or by_topic) and self._limits.maximum_qos > 0:
            if self._window:
                return False
            qos = 1
        # What waited on the disk says by its stamp how old it is: its expiry begins now.
        age_s = 0.0 if entry.spool_id else now - entry.made_mono
        mid = connection.publish(message, qos, age_s)
        if mid is None:
            return False  # the connection is gone, and says so in its next step
        self._window[mid] = InFlight(entry, message, qos, now)
        self._pace.sent(now)
        if by_size and qos:
            self._size_limit.probe_sent(size_bytes)
        elif by_topic and qos:
            self._topic_limit.probe_sent(message.topic)
        return True

    def _is_barred(self, topic: str, now: float) -> bool:
        return self._topic_limit.is_denied(topic, now) or self._topic_limit.is_held(topic)

    def _refuse(
        self, entry: Entry, messages: Sequence[Message], reason: str, **limits: int
    ) -> None:
        """What belongs together goes together."""
        for message in messages:
            self._outbox.settle(entry, message, reason)
            sizes = {"bytes": _packet_bytes(message), **limits} if limits else {}
            self._log_refusal(message, reason, **sizes)

    def answered(self, event: Answered, now: float) -> tuple[Entry, bool] | None:
        """Settle one message; return its entry and whether it was delivered."""
        flight = self._window.pop(event.mid, None)
        if flight is None:
            return None
        self._pace.answered(now)
        message, reason = flight.message, event.reason
        if flight.qos > 0:
            self.heard = True
            self._size_limit.answered(_packet_bytes(message))
            self._topic_limit.answered(message.topic)
            self._telemetry.count("publish_results", topic_family=message.family, reason=reason)
        # An alarm that nobody was given has not been delivered; for any other topic "no
        # subscribers" is information.
        unheard = message.family is TopicFamily.EVENT and reason == NO_SUBSCRIBERS
        if event.refused or unheard:
            self._outbox.settle(flight.entry, message, reason)
            self._log_refusal(message, reason)
            return flight.entry, False
        self._outbox.settle(flight.entry, message, None)
        if message.spec.qos == 0:
            self._accepted.add(message.topic)
        self._observe(message, now)
        return flight.entry, True

    def overdue(self, now: float) -> Message | None:
        """Return the oldest message if its answer is later than allowed."""
        flight = next(iter(self._window.values()), None)
        if flight is None or now - flight.sent_mono <= self._mqtt.puback_timeout_s:
            return None
        family = flight.message.family
        self._telemetry.count("publish_results", topic_family=family, reason="timeout")
        return flight.message

    def closed_by_broker(self, cause: Cause, subscribing: bool, now: float) -> None:
        """The broker has closed the connection; ``return_unanswered`` comes next.

        ``subscribing``: a subscription may be the reason.
        """
        learnt = self._pace.closed(len(self._window), now, said=cause is Cause.TOO_FAST)
        if learnt is not None:
            log_event(
                logger,
                logging.WARNING,
                "publish_pace_learnt",
                client=self._client,
                per_s=round(learnt, 1),
                reason="the broker hangs up when it is sent more; see mqtt.publish_per_s",
            )
        self._learn_topic(now, subscribing)
        suspects = {
            _packet_bytes(flight.message): flight.message
            for flight in self._window.values()
            if flight.message.family not in ALWAYS_SENT
        }
        too_large = self._size_limit.closed(tuple(suspects), now)
        if too_large is not None:
            log_event(
                logger,
                logging.WARNING,
                "packet_limit_found",
                bytes=too_large,
                topic=suspects[max(suspects)].topic,
                reason="the broker hangs up at messages of this size",
                believed_for_s=VALID_S,
            )

    def _learn_topic(self, now: float, subscribing: bool) -> None:
        # What goes out at QoS 0 whatever comes is never answered, so that nothing is learnt of it.
        sent = (flight.message for flight in self._window.values())
        topics = {message.topic for message in sent if message.spec.probed}
        denied = self._topic_limit.closed(topics, now, unclear=subscribing)
        if denied is not None:
            log_event(
                logger,
                logging.WARNING,
                "topic_denied",
                client=self._client,
                topic=denied,
                reason="the broker hangs up at messages of this topic; see its access list",
                believed_for_s=TOPIC_VALID_S,
            )

    def return_unanswered(self) -> None:
        """The connection is gone: return what was not answered, in order, entry by entry."""
        unanswered: dict[int, tuple[Entry, tuple[Message, ...]]] = {}
        for entry, message in self._unanswered():
            before = unanswered.get(id(entry), (entry, ()))[1]
            unanswered[id(entry)] = (entry, (*before, message))
        self._window.clear()
        self._current, self._next = None, 0
        self._outbox.lost(list(unanswered.values()))

    def _unanswered(self) -> Iterator[tuple[Entry, Message]]:
        for flight in self._window.values():
            yield flight.entry, flight.message
        if self._current is not None:
            for message in self._current.messages[self._next :]:
                yield self._current, message

    def _tell_pace(self) -> None:
        self._told_per_s = self._pace.limit_per_s
        per_s = 0.0 if math.isinf(self._told_per_s) else self._told_per_s
        self._telemetry.gauge("publish_limit_per_second", per_s, client=self._client)

    def _observe(self, message: Message, now: float) -> None:
        if message.captured_mono <= 0:
            return
        seconds = max(0.0, now - message.captured_mono)
        exemplar = message.frame_id or None
        if message.family is TopicFamily.ALARM:
            self._telemetry.observe("alarm_to_puback_seconds", seconds, exemplar=exemplar)
        elif message.family is TopicFamily.CAM:
            self._telemetry.observe(
                "cam_to_puback_seconds", seconds, exemplar=exemplar, camera=message.lane
            )

    def _log_refusal(self, message: Message, reason: str, **fields: int) -> None:
        """Once per topic and connection."""
        if message.topic in self._refused or len(self._refused) >= REFUSALS_LOGGED_MAX:
            return
        self._refused.add(message.topic)
        log_event(
            logger,
            logging.WARNING,
            "publish_refused",
            topic=message.topic,
            topic_family=str(message.family),
            reason=reason,
            **fields,
        )


def _packet_bytes(message: Message) -> int:
    return len(message.payload) + len(message.topic) + HEADER_BYTES
