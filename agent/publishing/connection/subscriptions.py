"""What a session listens to: subscribed at each connect, and again where the broker refused.

Some brokers of MQTT 3.1.1 close the connection at a subscription that an access list forbids, and
say nothing (AWS IoT Core). What is asked for again at each connect would then close each of them.
So what was unanswered when a connection was closed is asked for alone on the next one, and once
something else was answered on it, or it has stood for ``STANDS_S``; ``topic_limit`` has the rest.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.publishing.connection.connection import Connection
from agent.publishing.connection.events import Subscribed
from agent.publishing.connection.topic_limit import VALID_S, TopicLimit
from agent.publishing.outbox.outbox import REFUSED_RETRY_S
from agent.telemetry import log_event

logger = logging.getLogger(__name__)


NO_WILDCARDS = "wildcard_subscription_not_supported"
"""Reason 162 of a SUBACK (section 3.9.3 of MQTT 5)."""
STANDS_S = 1.0
"""A connection this old that has not been closed is one that the broker wants."""
QOS_0 = "granted_qos_0"
"""A broker may grant less than was asked for (section 3.9.3); then commands can be lost."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One topic filter.

    ``state``: it states what is the case, so that its retained flag shall say whether it was
    stored. ``stored`` false: it tells events, of which nothing that a broker has stored is wanted.
    ``instead``: topics for a broker that takes no wildcards.
    """

    topic: str
    state: bool = False
    stored: bool = True
    instead: tuple[str, ...] = ()


class Subscriptions:
    """For the thread that owns the connection."""

    def __init__(self, wanted: Sequence[Subscription], client: str) -> None:
        self._wanted = tuple(wanted)
        self._client = client
        self._asked: dict[int, Subscription] = {}  # by the number that paho gave
        self._refused: dict[Subscription, float] = {}  # -> when it is asked for again
        self._told: set[str] = set()
        self._told_qos_0 = False
        self._limit = TopicLimit()
        self._since = math.inf  # when this connection was looked at first

    @property
    def need_wildcards(self) -> bool:
        """Whether any of them holds one."""
        return any(one.instead for one in self._wanted)

    def opened(self, connection: Connection, *, wildcards: bool) -> None:
        """A new connection stands."""
        self._asked.clear()
        self._refused.clear()
        self._limit.opened()
        self._since = math.inf
        for one in self._wanted:
            for asked in (one,) if wildcards else _without_wildcards(one):
                if self._limit.is_probe(asked.topic):
                    self._refused[asked] = -math.inf  # alone, in ``tick``
                else:
                    self._ask(connection, asked)

    def probing(self) -> bool:
        """Whether one is asked for alone, to see what the broker makes of it."""
        return self._limit.probing()

    def closed(self, now: float) -> bool:
        """The broker closed the connection; return whether a subscription may be the reason."""
        unanswered = [asked.topic for asked in self._asked.values()]
        self._asked.clear()
        denied = self._limit.closed(unanswered, now)
        if denied is not None:
            reason = "the broker hangs up at this subscription; see its access list"
            self._log(
                logging.WARNING,
                "subscription_denied",
                denied,
                reason=reason,
                believed_for_s=VALID_S,
            )
        return bool(unanswered)

    def tick(
        self, connection: Connection, now: float, *, heard: bool = False, busy: bool = False
    ) -> None:
        """Ask again for what was refused a while ago, and for suspects one after the other.

        ``heard``: the broker has answered something that was published on this connection;
        ``busy``: something is under way alone.
        """
        self._since = min(self._since, now)
        if heard or now - self._since >= STANDS_S:
            self._limit.stands()
        if self._limit.probing():
            return
        for asked in [asked for asked, at in self._refused.items() if at <= now]:
            suspect = self._limit.is_probe(asked.topic)
            if suspect and (busy or not self._may_go_alone(asked, now)):
                continue
            self._refused[asked] = math.inf
            self._ask(connection, asked)
            if suspect:
                self._limit.probe_sent(asked.topic)
                return

    def _may_go_alone(self, asked: Subscription, now: float) -> bool:
        """Nothing else may be asked for beside it."""
        denied = self._limit.is_denied(asked.topic, now)
        return self._limit.may_probe and not self._asked and not denied

    def answered(self, event: Subscribed, now: float) -> None:
        """The broker's word for one of them."""
        asked = self._asked.pop(event.mid, None)
        if asked is None:
            return
        topic = asked.topic
        self._limit.answered(topic)
        if event.accepted:
            self._refused.pop(asked, None)
            if topic in self._told:
                self._told.discard(topic)
                self._log(logging.INFO, "subscription_accepted", topic)
            if event.reason == QOS_0 and not self._told_qos_0:
                self._told_qos_0 = True  # of all that are granted so, this one is named
                self._log(logging.WARNING, "subscription_at_qos_0", topic)
            return
        if asked.instead and event.reason == NO_WILDCARDS:  # which its CONNACK has not said
            self._refused.pop(asked, None)
            self._refused.update(dict.fromkeys(_without_wildcards(asked), now))
            if topic not in self._told:
                self._told.add(topic)
                instead = len(asked.instead)
                self._log(logging.WARNING, "wildcards_refused", topic, subscriptions=instead)
            return
        self._refused[asked] = now + REFUSED_RETRY_S
        if topic not in self._told:
            self._told.add(topic)
            self._log(
                logging.WARNING,
                "subscription_refused",
                topic,
                reason=event.reason,
                retry_in_s=REFUSED_RETRY_S,
            )

    def _ask(self, connection: Connection, asked: Subscription) -> None:
        mid = connection.subscribe(asked.topic, state=asked.state, stored=asked.stored)
        if mid is not None:
            self._asked[mid] = asked

    def _log(self, level: int, event: str, topic: str, **fields: object) -> None:
        log_event(logger, level, event, client=self._client, topic=topic, **fields)


def _without_wildcards(one: Subscription) -> tuple[Subscription, ...]:
    if not one.instead:
        return (one,)
    return tuple(replace(one, topic=topic, instead=()) for topic in one.instead)
