"""The life of one broker connection: states, causes, and when to try again with which protocol.

Pure: fed with what happened and the time, it answers what to do. The rules:

- Back-off is exponential with full jitter, and starts over only after a connection has stood for
  a while: two clients that keep taking the session over from each other slow down.
- After a refusal of the credentials, or when another client took the session, at least the
  penalty passes: neither heals by itself within seconds. Each time that another agent was there
  again, the penalty is doubled. ``keeps_session``: the other one will step back, so there is none.
- ``auto`` tries MQTT 5. A broker that answers that it does not speak it gets 3.1.1 at once and
  from then on; one that twice took the connection and answered nothing gets 3.1.1 next.
"""

from __future__ import annotations

import enum
import random

from agent.config import Mqtt
from agent.supervision.restart import Backoff

STABLE_S = 30.0
"""A connection that stood this long (or the longest back-off, if shorter) was a success."""

STOOD_ALONE_S = 600.0
"""After a connection of this length the other agent is gone, and the next one is another story."""

TAKEOVERS_MAX = 5
"""The penalty is doubled up to so many times: from a minute to half an hour."""

SILENT_BEFORE_FALLBACK = 2
V5 = "5"
V311 = "3.1.1"


class LinkState(enum.Enum):
    WAITING = "waiting"
    CONNECTING = "connecting"
    ONLINE = "online"
    CLOSED = "closed"


class Cause(enum.StrEnum):
    """Why the state changes; the first column of the log and the label of counters."""

    DUE = "due"
    CONNECTED = "connected"
    UNREACHABLE = "unreachable"  # no TCP connection: refused, no route, unknown host
    TLS = "tls"  # TCP, but no trust
    NO_ANSWER = "no_answer"  # TCP, but closed or silent before the CONNACK
    UNSUPPORTED = "unsupported_protocol"
    UNAUTHORISED = "unauthorised"
    REFUSED = "refused"  # any other CONNACK that says no
    LOST = "lost"
    SILENT = "silent"  # no answer to a ping or a publish in time: half open
    TOO_FAST = "too_fast"  # the broker takes fewer messages a second
    NO_RETAIN = "retain_not_supported"
    NO_QOS = "qos_not_supported"
    TAKEN_OVER = "taken_over"
    STOPPED = "stopped"


_S = LinkState
_RETRY = (Cause.UNREACHABLE, Cause.TLS, Cause.NO_ANSWER, Cause.UNSUPPORTED, Cause.UNAUTHORISED,
          Cause.REFUSED, Cause.NO_RETAIN, Cause.NO_QOS)  # fmt: skip
_ENDED = (Cause.LOST, Cause.SILENT, Cause.TAKEN_OVER, Cause.TOO_FAST, Cause.NO_RETAIN,
          Cause.NO_QOS)  # fmt: skip
EDGES: dict[tuple[LinkState, Cause], LinkState] = {
    (_S.WAITING, Cause.DUE): _S.CONNECTING,
    (_S.CONNECTING, Cause.CONNECTED): _S.ONLINE,
    **{(_S.CONNECTING, cause): _S.WAITING for cause in _RETRY},
    **{(_S.ONLINE, cause): _S.WAITING for cause in _ENDED},
    **{(state, Cause.STOPPED): _S.CLOSED for state in _S},
}


class Link:
    """State machine of one connection; ``protocol`` is what the next or current attempt speaks."""

    def __init__(self, mqtt: Mqtt, rng: random.Random, now: float) -> None:
        self.state = LinkState.WAITING
        self.protocol = V5 if mqtt.protocol == "auto" else mqtt.protocol
        self.since = now
        self.due_at = now
        self.connects = 0
        self.keeps_session = False
        self._takeovers = 0  # in a row
        self._rng = rng
        self._mqtt = mqtt
        self._backoff = Backoff(mqtt.reconnect_first_s, mqtt.reconnect_max_s, rng)
        self._fallback_known = False
        self._unanswered = 0

    def due(self, now: float) -> bool:
        return self.state is LinkState.WAITING and now >= self.due_at

    def on(self, cause: Cause, now: float, *, at_once: bool = False) -> LinkState:
        """Follow the edge of ``cause``; return the new state; ``ValueError`` if there is none.

        ``at_once``: the next attempt is another than the last, and need not wait.
        """
        before = self.state
        after = EDGES.get((before, cause))
        if after is None:
            raise ValueError(f"no edge from {before.value} by {cause}")
        self.state = after
        if after is LinkState.WAITING:
            stood_s = now - self.since if before is LinkState.ONLINE else 0.0
            wait_s = self._wait_s(cause, stood_s)
            self.due_at = now if at_once else now + wait_s
        elif after is LinkState.ONLINE:
            self.connects += 1
            self._unanswered = 0
        self.since = now
        return after

    def _wait_s(self, cause: Cause, stood_s: float) -> float:
        if stood_s >= min(STABLE_S, self._mqtt.reconnect_max_s):
            self._backoff.reset()
        switched = self._mqtt.protocol == "auto" and self._choose_protocol(cause)
        if switched:
            return 0.0
        return self._backoff.next() + self._penalty_s(cause, stood_s)

    def _penalty_s(self, cause: Cause, stood_s: float) -> float:
        """Drawn anew each time, so that two agents of one name do not come back together."""
        penalty_s = self._mqtt.reconnect_penalty_s
        if cause is Cause.UNAUTHORISED:
            return penalty_s
        if stood_s >= STOOD_ALONE_S:
            self._takeovers = 0
        if cause is not Cause.TAKEN_OVER or self.keeps_session:
            return 0.0
        rising_s = penalty_s * 2.0 ** min(self._takeovers, TAKEOVERS_MAX)
        self._takeovers += 1
        return rising_s + self._rng.uniform(0.0, rising_s)

    def _choose_protocol(self, cause: Cause) -> bool:
        """Set the protocol of the next attempt; true when it may be tried at once."""
        if cause is Cause.UNSUPPORTED:
            first_time = not self._fallback_known
            self._fallback_known = self.protocol == V5
            self.protocol = V311 if self._fallback_known else V5
            return first_time
        if cause is not Cause.NO_ANSWER:
            self._unanswered = 0
            if not self._fallback_known:
                self.protocol = V5
            return False
        self._unanswered += 1
        if self.protocol == V5:
            if self._unanswered < SILENT_BEFORE_FALLBACK:
                return False
            self.protocol = V311
            return True
        if not self._fallback_known:
            self.protocol = V5
        self._unanswered = 0
        return False
