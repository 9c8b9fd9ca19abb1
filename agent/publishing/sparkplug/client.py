"""The edge node on a session of its own: another client id, since one connection has one will.

The session drives the connection as it does for the JSON topics; here is what a Sparkplug node
makes of it. Everything is sent from the session's thread alone: sequence numbers are in the order
of the wire.
"""

from __future__ import annotations

import logging
import sqlite3
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from agent.config import Mqtt
from agent.config.url import BrokerAddress
from agent.publishing.connection.events import Received
from agent.publishing.connection.session import Session, SessionHooks, SessionSettings
from agent.publishing.sparkplug.births import SEQ_MODULUS, Packet, death_packet
from agent.publishing.sparkplug.inbox import Inbox
from agent.publishing.sparkplug.node import EdgeNode
from agent.publishing.sparkplug.outbox import NodeOutbox
from agent.publishing.sparkplug.states import NodeState
from agent.publishing.sparkplug.topics import NodeTopics, Type
from agent.publishing.wire.messages import Entry
from agent.records import LinkStatus, TopicFamily
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

CLIENT = "spb"
DISCONNECT_S = 2.0
"""For NDEATH and DISCONNECT when the primary host has gone; a stop brings a time of its own."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Where to connect and as whom; ``subscriptions`` are asked for before any birth.

    ``on_link`` is given every change of the connection, in the client's thread.
    """

    mqtt: Mqtt
    address: BrokerAddress
    client_id: str
    topics: NodeTopics
    host_topics: tuple[str, ...]
    utc_ms: Callable[[], int]
    on_link: Callable[[LinkStatus], None]
    tls: ssl.SSLContext | None = None

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """Commands, the primary host, and our own birth: to see that it came, and who else's."""
        return (
            *self.host_topics,
            self.topics.topic(Type.NCMD),
            self.topics.topic(Type.NBIRTH),
        )


class SparkplugClient:
    """Owns node and session. ``inbox`` is how other threads hand values over.

    ``bdseq`` returns a number from 0 to 255 that rises by one at each call, over restarts too.
    """

    def __init__(
        self,
        settings: ClientSettings,
        node: EdgeNode,
        bdseq: Callable[[], int],
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._node = node
        self._next_bdseq = bdseq
        self._telemetry = telemetry
        self._clock = clock
        self._bdseq = 0
        self.inbox = Inbox(telemetry)
        self._session = Session(
            SessionSettings(
                mqtt=settings.mqtt,
                address=settings.address,
                client_id=settings.client_id,
                subscriptions=settings.subscriptions,
                tls=settings.tls,
                name=CLIENT,
                farewell_with_will=True,
            ),
            NodeOutbox(node, self.inbox, telemetry, clock),
            telemetry,
            clock,
            SessionHooks(
                will=self._will,
                online=lambda _now: node.connected(self._bdseq),
                tick=self._tick,
                farewell=self._farewell,
                received=self._received,
                link=settings.on_link,
            ),
        )

    def start(self) -> None:
        self._session.start()

    def status(self) -> LinkStatus:
        return self._session.status()

    def stop(self, timeout_s: float) -> bool:
        """Say NDEATH, wait for its answer, disconnect; true when it was acknowledged."""
        return self._session.stop(timeout_s)

    # --- hooks: called by the session's thread ---

    def _will(self) -> Packet:
        """Called once for each CONNECT packet, in the thread that connects, after TCP and TLS."""
        try:
            self._bdseq = self._next_bdseq() % SEQ_MODULUS
        except (OSError, sqlite3.Error) as error:
            # Without a will the node would never be seen to die: go on from what is known.
            self._bdseq = (self._bdseq + 1) % SEQ_MODULUS
            log_event(logger, logging.ERROR, "bdseq_not_kept", bdseq=self._bdseq, detail=str(error))
        return death_packet(self._settings.topics, self._bdseq, self._settings.utc_ms())

    def _tick(self, now: float) -> None:
        if self._node.state is NodeState.LEAVING:
            self._session.disconnect(DISCONNECT_S, "primary host offline")
        elif self._node.birth_not_returned(now):
            self._birth_not_returned()

    def _farewell(self, now: float) -> Entry | None:
        """The NDEATH; a node that was never born has none."""
        born = self._node.state in (NodeState.ONLINE, NodeState.LEAVING)
        return Entry((self._node.death(),), now) if born else None

    def _received(self, event: Received) -> bool:
        """Another node of our name: each would make the other's tags stale for ever."""
        ours = self._node.received(event.topic, event.payload, event.retained, self._clock())
        if not ours:
            topic = self._settings.topics.topic(Type.NBIRTH)
            log_event(logger, logging.ERROR, "session_conflict", topic=topic, client=CLIENT)
        return ours

    def _birth_not_returned(self) -> None:
        """A denied QoS 0 publish is invisible in every version; our own birth would come back."""
        self._telemetry.count(
            "publish_results", topic_family=TopicFamily.SPARKPLUG, reason="not_returned"
        )
        log_event(
            logger,
            logging.WARNING,
            "publish_refused",
            topic=self._settings.topics.topic(Type.NBIRTH),
            topic_family=str(TopicFamily.SPARKPLUG),
            reason="our own birth did not come back: may this user write and read it?",
        )
