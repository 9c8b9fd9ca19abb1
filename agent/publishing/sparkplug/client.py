"""The thread that joins the edge node to a broker: one connection at a time, with its own will.

It drives the pure parts (``node``, and ``Link`` for back-off and protocol) and the same
``Connection`` as the JSON topics use, under a client id of its own, because one connection has one
will. Everything is sent from this thread alone: sequence numbers are in the order of the wire.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass

from agent.config import Mqtt
from agent.config_url import BrokerAddress
from agent.publishing.connection import Connection, ConnectRequest
from agent.publishing.events import Answered, Ended, Event, Opened, Received, Subscribed
from agent.publishing.link import Cause, Link, LinkPolicy, LinkState
from agent.publishing.sparkplug.births import SEQ_MODULUS, Packet, death_packet
from agent.publishing.sparkplug.inbox import Inbox
from agent.publishing.sparkplug.node import EdgeNode, Heard, NodeState
from agent.publishing.sparkplug.topics import NodeTopics, Type
from agent.publishing.waker import Waker
from agent.records import LinkStatus, TopicFamily
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

LOOP = "publisher_spb"
CLIENT = "spb"
IDLE_S = 0.5
LEAVE_STEP_S = 0.05
LEAVE_S = 2.0
"""For NDEATH and DISCONNECT when the primary host has gone; a stop brings a time of its own."""

UNWRITTEN_MAX = 100
"""Messages handed over and not yet written to the socket; beyond it the node keeps its values."""


@dataclass(slots=True)
class _Leaving:
    """An NDEATH is on its way; after its answer, or ``until``, comes DISCONNECT."""

    until: float
    mid: int | None = None
    disconnect_at: float | None = None


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
    """Owns node and connection. ``inbox`` is how other threads hand values over.

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
        self.inbox = Inbox(telemetry)
        rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._link = Link(LinkPolicy.of(settings.mqtt), rng, clock())
        self._connection: Connection | None = None
        self._bdseq = 0
        self._unwritten: dict[int, Packet] = {}
        self._leaving: _Leaving | None = None
        self._stop_at: float | None = None
        self._acknowledged = False
        self._status = LinkStatus(False, "", "starting", clock())
        self._waker = Waker()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=LOOP, daemon=True)

    # --- for other threads ---

    def start(self) -> None:
        self._thread.start()

    def status(self) -> LinkStatus:
        return self._status

    def stop(self, timeout_s: float) -> bool:
        """Say NDEATH, wait for its answer, disconnect; true when it was acknowledged."""
        if not self._thread.is_alive():
            self._waker.close()
            return False
        self._stop_at = self._clock() + timeout_s
        self._waker.wake()
        self._thread.join(timeout_s + 2 * IDLE_S)
        return self._acknowledged

    # --- the thread ---

    def _run(self) -> None:
        while not self._done.is_set():
            try:
                self._turn()
            except Exception:  # the top of the thread: the agent outlives a fault in here
                logger.exception("sparkplug_failed", extra={"fields": {}})
                self._recover()
        self._waker.close()

    def _turn(self) -> None:
        now = self._clock()
        self._telemetry.beat(LOOP)
        self._take_in(now)
        connection = self._connection
        if self._link.state is LinkState.ONLINE and connection is not None:
            self._drive(connection, now)
        elif self._stop_at is not None:
            self._finish(now)
            return
        elif self._link.due(now) and not (connection and connection.dialling()):
            self._connect(now)
            connection = self._connection
        fd = connection.fileno() if connection is not None else None
        writing = fd is not None and connection is not None and connection.wants_write()
        self._waker.wait(fd, writing, self._patience(now))
        if connection is not None:
            for event in connection.step(self._clock()):
                self._on(event, self._clock())

    def _take_in(self, now: float) -> None:
        for name, alive in self.inbox.devices():
            self._node.device(name, alive)
        for sample in self.inbox.samples():
            self._node.offer(sample, now)

    def _drive(self, connection: Connection, now: float) -> None:
        leaving = self._stop_at is not None or self._node.state is NodeState.LEAVING
        if leaving:
            self._leave(connection, now)
        elif len(self._unwritten) < UNWRITTEN_MAX:
            for packet in self._node.tick(now):
                self._send(connection, packet)
            if self._node.birth_unseen(now):
                self._birth_unseen()

    def _send(self, connection: Connection, packet: Packet) -> int | None:
        mid = connection.publish(packet, packet.spec.qos)
        if mid is not None:
            self._unwritten[mid] = packet
            self._telemetry.count("sparkplug_messages", type=packet.type)
        return mid

    def _patience(self, now: float) -> float:
        if self._link.state is LinkState.WAITING:
            return min(IDLE_S, max(0.01, self._link.due_at - now))
        if self._leaving is not None:
            return LEAVE_STEP_S
        if self._link.state is LinkState.ONLINE:
            return min(IDLE_S, max(0.01, self._node.due_in_s(now)))
        return IDLE_S

    def _recover(self) -> None:
        """Start over after a fault, without calling anybody who may have caused it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        self._unwritten.clear()
        if self._link.state is LinkState.ONLINE:
            self._link.on(Cause.LOST, self._clock())
        elif self._link.state is LinkState.CONNECTING:
            self._link.on(Cause.REFUSED, self._clock())
        if self._node.state is not NodeState.OFFLINE:
            self._node.disconnected(self._clock())
        if self._stop_at is not None:
            self._done.set()
        self._done.wait(IDLE_S)

    # --- connecting ---

    def _connect(self, now: float) -> None:
        mqtt, address = self._settings.mqtt, self._settings.address
        password = mqtt.password.get_secret_value() if mqtt.password is not None else None
        self._link.on(Cause.DUE, now)
        self._connection = Connection(
            ConnectRequest(
                address=address,
                client_id=self._settings.client_id,
                keepalive_s=mqtt.keepalive_s,
                protocol=self._link.protocol,
                will=self._will,
                username=address.username if address.username is not None else mqtt.username,
                password=address.password if address.password is not None else password,
                tls=self._settings.tls,
            ),
            self._waker.wake,
            now,
        )

    def _will(self) -> Packet:
        """Called once for each CONNECT packet, in the thread that dials, after TCP and TLS."""
        try:
            self._bdseq = self._next_bdseq() % SEQ_MODULUS
        except (OSError, sqlite3.Error) as error:
            # Without a will the node would never be seen to die: go on from what is known.
            self._bdseq = (self._bdseq + 1) % SEQ_MODULUS
            self._log(logging.ERROR, "bdseq_not_kept", bdseq=self._bdseq, detail=str(error))
        return death_packet(self._settings.topics, self._bdseq, self._settings.utc_ms())

    def _on(self, event: Event, now: float) -> None:
        match event:
            case Opened():
                self._opened(now)
            case Ended():
                self._ended(event, now)
            case Answered():
                packet = self._unwritten.pop(event.mid, None)
                if packet is not None and packet.spec.qos:
                    self._telemetry.count(
                        "publish_results", topic_family=packet.family, reason=event.reason
                    )
                if self._leaving is not None and event.mid == self._leaving.mid:
                    self._acknowledged = not event.refused
                    self._leaving.until = now
            case Received():
                heard = self._node.heard(event.topic, event.payload, event.retained, now)
                if heard is Heard.CONFLICT:
                    self._step_back(now)
            case Subscribed(accepted=False):
                self._log(logging.WARNING, "subscription_refused", reason=event.reason)
            case Subscribed():
                pass

    def _opened(self, now: float) -> None:
        assert self._connection is not None
        self._link.on(Cause.CONNECTED, now)
        self._unwritten.clear()
        self._leaving = None
        self._telemetry.count("broker_connects", outcome=Cause.CONNECTED, client=CLIENT)
        self._log(logging.INFO, "broker_connected", protocol=self._link.protocol)
        self._report(True, Cause.CONNECTED, now)
        for topic in self._settings.subscriptions:
            self._connection.subscribe(topic)
        self._node.connected(self._bdseq)

    def _ended(self, event: Ended, now: float) -> None:
        self._unwritten.clear()
        left, self._leaving = self._leaving is not None, None
        if self._node.state is not NodeState.OFFLINE:
            self._node.disconnected(now)
        if event.wanted and self._stop_at is not None:
            self._finish(now)
            return
        was_online, spoken = self._link.state is LinkState.ONLINE, self._link.protocol
        self._link.on(event.cause, now)
        if was_online:
            self._telemetry.count("broker_disconnects", reason=event.cause, client=CLIENT)
        else:
            self._telemetry.count("broker_connects", outcome=event.cause, client=CLIENT)
        if event.cause is Cause.UNSUPPORTED and self._link.protocol != spoken:
            self._log(logging.INFO, "protocol_chosen", protocol=self._link.protocol)
        else:
            self._log(
                logging.INFO if left else logging.WARNING,
                "broker_lost" if was_online else "broker_connect_failed",
                cause=str(event.cause),
                reason="primary host offline" if left else event.reason,
                protocol=spoken,
                retry_in_s=round(self._link.due_at - now, 1),
            )
        self._report(False, event.cause, now)

    def _step_back(self, now: float) -> None:
        """Another node has our name: each would make the other's tags stale for ever."""
        if self._link.state is not LinkState.ONLINE or self._connection is None:
            return
        topic = self._settings.topics.topic(Type.NBIRTH)
        self._log(logging.ERROR, "session_conflict", topic=topic)
        self._connection.abort()
        self._ended(Ended(Cause.TAKEN_OVER, f"another node is born on {topic}"), now)

    def _birth_unseen(self) -> None:
        """A denied QoS 0 publish is invisible in every version; our own birth would come back."""
        self._telemetry.count(
            "publish_results", topic_family=TopicFamily.SPARKPLUG, reason="not_returned"
        )
        self._log(
            logging.WARNING,
            "publish_refused",
            topic=self._settings.topics.topic(Type.NBIRTH),
            topic_family=str(TopicFamily.SPARKPLUG),
            reason="our own birth did not come back: may this user write and read it?",
        )

    # --- leaving ---

    def _leave(self, connection: Connection, now: float) -> None:
        """NDEATH, its acknowledgement (bounded), DISCONNECT."""
        leaving = self._leaving
        if leaving is None:
            until = self._stop_at if self._stop_at is not None else now + LEAVE_S
            self._leaving = leaving = _Leaving(until - LEAVE_STEP_S)
            if self._node.state is NodeState.WAITING:
                leaving.until = now  # never born, so there is no death to tell
            else:
                leaving.mid = self._send(connection, self._node.death())
        if leaving.disconnect_at is None:
            if now >= leaving.until or leaving.mid is None:
                leaving.disconnect_at = now
                connection.disconnect(with_will=leaving.mid is not None)
        elif now >= max(leaving.until, leaving.disconnect_at + LEAVE_S / 2) or self._late(now):
            connection.abort()
            self._ended(Ended(Cause.LOST, "no end after DISCONNECT", wanted=True), now)

    def _late(self, now: float) -> bool:
        return self._stop_at is not None and now >= self._stop_at

    def _finish(self, now: float) -> None:
        if self._connection is not None:
            self._connection.abort()
        if self._link.state is not LinkState.CLOSED:
            self._link.on(Cause.STOPPED, now)
        self._done.set()
        self._report(False, Cause.STOPPED, now)

    def _report(self, connected: bool, reason: Cause, now: float) -> None:
        self._telemetry.gauge("broker_connected", float(connected), client=CLIENT)
        self._status = LinkStatus(
            connected=connected,
            protocol=self._link.protocol if connected else "",
            reason=str(reason),
            since_mono=now if connected != self._status.connected else self._status.since_mono,
            reconnects=max(0, self._link.connects - 1),
        )
        self._settings.on_link(self._status)

    def _log(self, level: int, event: str, **fields: object) -> None:
        address = self._settings.address
        broker = f"{address.host}:{address.port}"
        log_event(logger, level, event, broker=broker, client=CLIENT, **fields)
