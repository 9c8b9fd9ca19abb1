"""What a broker can do less than all of MQTT, and what the agent does then. Pure but for its log.

A broker of MQTT 5 says in its CONNACK whether it retains (section 3.2.2.3.5), which quality of
service it takes at most (3.2.2.3.4) and whether subscriptions may hold wildcards (3.2.2.3.8); what
it says counts for that connection alone. It refuses a CONNECT whose will asks for more, with reason
154 or 155, before it has said any of that.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from agent.publishing.connection.events import Opened
from agent.publishing.connection.link import Cause
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

NO_RETAIN = "retain_not_available"
QOS_0 = "maximum_qos_0"
NO_WILDCARDS = "wildcards_not_available"

CONSEQUENCES = {
    NO_RETAIN: "alarms are said again every minute, metrics as they are measured",
    QOS_0: "nothing is acknowledged: a message is taken for delivered once it is on its way",
    NO_WILDCARDS: "each command has a subscription of its own",
}


class BrokerLimits:
    """Fed with what the broker says and why it ended connections; logs each limit once.

    ``will_retain`` and ``will_qos`` are those of the next CONNECT. ``retain`` False: the broker is
    known to retain nothing.
    """

    def __init__(
        self,
        client: str,
        needs: frozenset[str] = frozenset(CONSEQUENCES),
        *,
        retain: bool = True,
    ) -> None:
        self.will_retain = retain
        self.will_qos = 1
        self._client = client
        self._needs = needs
        # What the configuration denies, or a CONNACK promised and the broker did not keep.
        self._denied: set[str] = set() if retain else {NO_RETAIN}
        self._told: frozenset[str] = frozenset()

    def opened(self, said: Opened) -> Opened:
        """Take a CONNACK; return what this connection can do."""
        can = replace(
            said,
            retain=said.retain and NO_RETAIN not in self._denied,
            maximum_qos=0 if QOS_0 in self._denied else said.maximum_qos,
        )
        self.will_retain, self.will_qos = can.retain, min(1, can.maximum_qos)
        now = {
            NO_RETAIN: not can.retain,
            QOS_0: can.maximum_qos == 0,
            NO_WILDCARDS: not can.wildcards,
        }
        limits = frozenset(limit for limit, there in now.items() if there) & self._needs
        for limit in sorted(limits - self._told):
            self._log(logging.WARNING, "broker_limited", limit, consequence=CONSEQUENCES[limit])
        for limit in sorted(self._told - limits):
            self._log(logging.INFO, "broker_limit_lifted", limit)
        self._told = limits
        return can

    def refused(self, cause: Cause, *, online: bool) -> bool:
        """The broker ended the attempt or, ``online``, the connection; whether another attempt,
        which asks for less, may follow at once."""
        before = (self.will_retain, self.will_qos, len(self._denied))
        if cause is Cause.NO_RETAIN:
            self.will_retain = False
            self._denied |= {NO_RETAIN} if online else set()
        elif cause is Cause.NO_QOS:
            self.will_qos = 0
            self._denied |= {QOS_0} if online else set()
        return before != (self.will_retain, self.will_qos, len(self._denied))

    def _log(self, level: int, event: str, limit: str, **fields: str) -> None:
        log_event(logger, level, event, client=self._client, limit=limit, **fields)
