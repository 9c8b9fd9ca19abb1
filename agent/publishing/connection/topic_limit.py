"""Topics that a broker answers by closing the connection, published or subscribed to. Pure.

MQTT 5 has a reason code for a publish that an access list forbids. MQTT 3.1.1 has none: such a
broker takes the message and drops it, or closes the connection (section 3.3.5 of MQTT 3.1.1). A
message that is sent again after every connect would then close each of them.

So the topics of what was unanswered when a connection was closed are suspects. As long as one is,
its first message of a connection goes alone. If the connection is closed at it ``CLOSES_MAX`` times
in a row, while the broker answered messages of other topics, the topic is denied for ``VALID_S``;
after that a single time is enough. What the broker answers is no suspect any more.

The same is so of the topics of subscriptions, which have a limit of their own. Messages that have
no answers say nothing of a connection: for subscriptions it ``stands`` by time as well.

The suspect may be the very first message of each connection. After ``CLOSES_MAX`` connections that
ended with nothing answered, what they ended with goes after another message was answered.
"""

from __future__ import annotations

from collections.abc import Collection

CLOSES_MAX = 3
VALID_S = 3600.0
"""How long a topic is believed to be denied: the access list may have been changed."""


class TopicLimit:
    """Fed with the topics that were sent, answered, and left unanswered."""

    def __init__(self) -> None:
        self._suspects: dict[str, int] = {}  # -> connections closed at its message, sent alone
        self._denied_until: dict[str, float] = {}
        self._probe: str | None = None  # in flight, and nothing else is
        self._answered = False  # anything, on this connection
        self._silent = 0  # connections in a row on which nothing was answered
        self._late: set[str] = set()  # not to be the first of a connection

    def opened(self) -> None:
        """A new connection stands."""
        self._probe, self._answered = None, False

    def stands(self) -> None:
        """The connection is known to be in use, by others' answers or by its age."""
        self._answered = True

    @property
    def may_probe(self) -> bool:
        """Whether a close now would be the fault of what went alone."""
        return self._answered

    def is_denied(self, topic: str, now: float) -> bool:
        """Whether messages of a topic are not to be sent at present."""
        return now < self._denied_until.get(topic, 0.0)

    def is_held(self, topic: str) -> bool:
        """Whether others are to be sent before one of this topic."""
        return topic in self._late and not self._answered

    def is_probe(self, topic: str) -> bool:
        """Whether a message of this topic is to be sent while no other is in flight."""
        return topic in self._suspects

    def probe_sent(self, topic: str) -> None:
        """Such a message is in flight; nothing may follow it while ``probing``."""
        self._probe = topic

    def probing(self) -> bool:
        """Whether a probe has not been answered yet."""
        return self._probe is not None

    def answered(self, topic: str) -> None:
        """The broker has answered a message, with whatever reason."""
        self._answered, self._probe, self._silent = True, None, 0
        self._late.discard(topic)
        self._suspects.pop(topic, None)
        self._denied_until.pop(topic, None)

    def closed(
        self, unanswered: Collection[str], now: float, *, unclear: bool = False
    ) -> str | None:
        """The broker closed the connection; return a topic that has turned out to be denied.

        ``unanswered`` are the topics of messages that may be the reason; ``unclear``: something
        else may be as well.
        """
        for topic in unanswered:
            self._suspects.setdefault(topic, 0)
        if unanswered and not self._answered and not unclear:
            self._silent += 1
            if self._silent >= CLOSES_MAX:
                self._late.update(unanswered)
        probe, self._probe = self._probe, None
        if probe is None or probe not in unanswered or not self._answered or unclear:
            return None
        self._suspects[probe] += 1
        if self._suspects[probe] < CLOSES_MAX:
            return None
        self._suspects[probe] = CLOSES_MAX - 1
        self._denied_until[probe] = now + VALID_S
        return probe
