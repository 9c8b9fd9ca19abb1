"""What a session says of its connection: to its publisher, to the log, and as metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from agent.config.url import BrokerAddress
from agent.publishing.connection.events import Ended
from agent.publishing.connection.link import Cause, Link, LinkState
from agent.records import LinkStatus
from agent.telemetry import Telemetry, log_event

logger = logging.getLogger(__name__)


class LinkReport:
    """For the thread that owns the connection; ``status`` is for any. ``on_link`` hears changes."""

    def __init__(
        self,
        client: str,
        address: BrokerAddress,
        telemetry: Telemetry,
        on_link: Callable[[LinkStatus], None],
        now: float,
    ) -> None:
        self.status = LinkStatus(False, "", "starting", now)
        self._client = client
        self._broker = f"{address.host}:{address.port}"
        self._telemetry = telemetry
        self._on_link = on_link

    def connected(self, link: Link, now: float) -> None:
        """The connection stands."""
        self.count("broker_connects", outcome=Cause.CONNECTED)
        self.log(logging.INFO, "broker_connected", protocol=link.protocol)
        self.change(Cause.CONNECTED, link, now)

    def ended(
        self, link: Link, event: Ended, now: float, *, before: tuple[LinkState, str], left: str
    ) -> None:
        """A connection or an attempt is over; ``before`` it ``link`` had that state and protocol.

        ``left`` says why we ended it ourselves; empty: we did not.
        """
        (state, spoken), cause = before, event.cause
        was_online = state is LinkState.ONLINE
        if was_online:
            self.count("broker_disconnects", reason=cause)
        else:
            self.count("broker_connects", outcome=cause)
        if cause is Cause.UNSUPPORTED and link.protocol != spoken:
            self.log(logging.INFO, "protocol_chosen", protocol=link.protocol, instead_of=spoken)
        else:
            self.log(
                logging.INFO if left else logging.WARNING,
                "broker_lost" if was_online else "broker_connect_failed",
                cause=str(cause),
                reason=left or event.reason,
                protocol=spoken,
                retry_in_s=round(link.due_at - now, 1),
            )
        self.change(cause, link, now)

    def rival(self, now: float) -> None:
        """Another agent has our name, and we stay connected."""
        self.status = replace(self.status, reason=str(Cause.TAKEN_OVER), since_mono=now)
        self._on_link(self.status)

    def change(self, reason: Cause, link: Link, now: float) -> None:
        """Tell the state of the connection and its cause."""
        connected = link.state is LinkState.ONLINE
        self._telemetry.gauge("broker_connected", float(connected), client=self._client)
        self.status = LinkStatus(
            connected=connected,
            protocol=link.protocol if connected else "",
            reason=str(reason),
            since_mono=now if connected != self.status.connected else self.status.since_mono,
            reconnects=max(0, link.connects - 1),
        )
        self._on_link(self.status)

    def count(self, name: str, **labels: str) -> None:
        """Count for this client."""
        self._telemetry.count(name, **labels, client=self._client)

    def log(self, level: int, event: str, **fields: object) -> None:
        """Log for this client and broker."""
        log_event(logger, level, event, broker=self._broker, client=self._client, **fields)
