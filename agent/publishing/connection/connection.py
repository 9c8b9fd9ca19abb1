"""One connection to a broker: the only module that drives paho.

A ``Connection`` is one attempt and, if it succeeds, one session; the next attempt is a new one with
a new paho client, so nothing that paho may still hold can come back later. It belongs to one
thread, which waits on ``fileno`` and calls ``step``; only the blocking part of connecting (name,
TCP, TLS) runs in a thread of its own, so that the owner always moves. paho's callbacks append
events and do nothing else; its own reconnecting is off.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.config.url import BrokerAddress
from agent.publishing.connection import packets
from agent.publishing.connection.events import (
    Answered,
    Ended,
    Event,
    Received,
    Subscribed,
)
from agent.publishing.connection.link import V5, Cause
from agent.publishing.connection.tls import AlertSocket
from agent.publishing.wire.messages import Message

CONNECT_TIMEOUT_S = 10.0
"""From the first name look-up to the CONNACK."""

VERDICT_S = 1.0
"""How long a broker may take to say, after the handshake, that it does not trust us."""

READS_PER_STEP = 64


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """How to connect. ``will`` is asked once for each CONNECT packet, not for failed TCP tries.

    ``tls`` is asked for each attempt in a thread that may wait for a disk.
    """

    address: BrokerAddress
    client_id: str
    keepalive_s: int
    protocol: str
    will: Callable[[], Message]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Callable[[], ssl.SSLContext] | None = None
    will_retain: bool = True
    will_qos: int = 1


class Connection:
    """Drives one paho client. Every method but the constructor's thread is for the owner only."""

    def __init__(self, request: ConnectRequest, wake: Callable[[], None], now: float) -> None:
        self.retain = True  # whether the broker takes messages that are to be retained
        self._request = request
        self._wake = wake
        self._events: deque[Event] = deque()
        self._lock = threading.Lock()
        self._outcome: Exception | bool = False  # of TCP and TLS; False: still under way
        self._abandoned = False
        self._open = False
        self._over = False
        self._spoken = False  # whether anything of MQTT has been sent
        self._secured: AlertSocket | None = None
        self._deadline = now + CONNECT_TIMEOUT_S
        self._client = self._make_client(request)
        self._connector = threading.Thread(target=self._connect, name="mqtt-connect", daemon=True)
        self._connector.start()

    # --- what the owner waits on and drives ---

    def fileno(self) -> int | None:
        """Descriptor to wait for reading (and for writing while ``wants_write``)."""
        if self._outcome is not True or self._over:
            return None
        sock = self._client.socket()
        return sock.fileno() if sock is not None else None

    def wants_write(self) -> bool:
        return self._client.want_write()

    def connecting(self) -> bool:
        """Whether the blocking part of connecting still runs (perhaps after ``abort``)."""
        return self._connector.is_alive()

    def step(self, now: float) -> list[Event]:
        """Move what can be moved without waiting, and return what happened, in order."""
        if not self._over:
            self._check_connect(now)
        if self.fileno() is not None:
            # Reading first: a write that fails would hide why the broker closed.
            self._read()
            self._spoken = True
            self._client.loop_write()
            self._client.loop_misc()
        events = list(self._events)
        self._events.clear()
        return events

    def _check_connect(self, now: float) -> None:
        with self._lock:
            outcome = self._outcome
        if isinstance(outcome, Exception):
            cause = Cause.TLS if isinstance(outcome, ssl.SSLError) else Cause.UNREACHABLE
            self._end(Ended(cause, f"{type(outcome).__name__}: {outcome}"))
        elif not self._open and now >= self._deadline:
            cause = Cause.NO_ANSWER if outcome else Cause.UNREACHABLE
            self._end(Ended(cause, f"nothing within {CONNECT_TIMEOUT_S:g} s"))
            self.abort()

    def _read(self) -> None:
        for _ in range(READS_PER_STEP):
            if self._client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
            sock = self._client.socket()
            if isinstance(sock, socket.socket):
                # Brokers that keep Nagle's algorithm hold the second of two PUBACKs until our
                # side acknowledges the first; the kernel forgets this option, so again each time.
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            # Bytes that TLS has decrypted already make no descriptor readable.
            if not isinstance(sock, ssl.SSLSocket) or not sock.pending():
                return

    # --- what the owner asks for ---

    def publish(self, message: Message, qos: int, age_s: float = 0.0) -> int | None:
        """Hand over one message; its ``Answered`` carries the number returned. None: not sent."""
        v5 = self._request.protocol == V5
        info = self._client.publish(
            message.topic,
            message.payload,
            qos=qos,
            retain=message.spec.retain and self.retain,
            properties=packets.publish_properties(message, age_s) if v5 else None,
        )
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def subscribe(self, topic: str, *, state: bool = False, stored: bool = True) -> int | None:
        """Ask for a topic; its ``Subscribed`` carries the number returned. None: not sent.

        ``state``: its retained flag shall say whether the message was stored. ``stored`` false:
        what was stored shall not come, which only MQTT 5 can say.
        """
        if self._request.protocol == V5:
            options = packets.subscribe_options(state=state, stored=stored)
            code, mid = self._client.subscribe(topic, options=options)
        else:
            code, mid = self._client.subscribe(topic, qos=1)
        return mid if code == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def disconnect(self, *, with_will: bool = False) -> None:
        """Send DISCONNECT: the broker forgets the will. ``Ended`` follows.

        ``with_will`` asks it to publish the will all the same, which only MQTT 5 can say.
        """
        asked = with_will and self._request.protocol == V5
        self._client.disconnect(packets.disconnect_with_will() if asked else None)

    def abort(self) -> None:
        """Close without DISCONNECT: the broker will publish the will."""
        self._over = True
        with self._lock:
            self._abandoned = True
            connected = self._outcome is True
        if connected:
            self._close_socket()

    def _close_socket(self) -> None:
        sock = self._client.socket()
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.close()

    # --- connecting, in a thread of its own ---

    def _connect(self) -> None:
        request = self._request
        outcome: Exception | bool = True
        try:
            if request.tls is not None:
                self._client.tls_set_context(request.tls())
            self._client.connect(
                request.address.host,
                request.address.port,
                request.keepalive_s,
                properties=packets.connect_properties() if request.protocol == V5 else None,
            )
            if self._secured is not None:
                self._secured.wait_for_verdict(VERDICT_S)
        except (OSError, ValueError) as error:  # a host name that no name can be is a ValueError
            outcome = error
        with self._lock:
            self._outcome = outcome
            abandoned = self._abandoned
        if abandoned and outcome is True:
            self._close_socket()
        self._wake()

    def _on_socket_open(self, client: paho.Client, _userdata: object, sock: object) -> None:
        # Without this every PUBACK waits some 40 ms: Nagle's algorithm against delayed ACKs.
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if isinstance(sock, AlertSocket):
            self._secured = sock
        request, will = self._request, self._request.will()
        client.will_set(
            will.topic,
            will.payload,
            qos=min(will.spec.qos, request.will_qos),
            retain=will.spec.retain and request.will_retain,
        )

    # --- paho's callbacks: they only append ---

    def _make_client(self, request: ConnectRequest) -> paho.Client:
        protocol = (
            MQTTProtocolVersion.MQTTv5 if request.protocol == V5 else MQTTProtocolVersion.MQTTv311
        )
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=request.client_id,
            protocol=protocol,
            reconnect_on_failure=False,
        )
        client.suppress_exceptions = True
        client.connect_timeout = CONNECT_TIMEOUT_S / 2
        client.max_inflight_messages = 0  # the owner has its own window
        if request.username is not None:
            client.username_pw_set(request.username, request.password)
        client.on_socket_open = self._on_socket_open
        # Registered so that publish only queues: the socket is written in ``step`` alone, and no
        # answer can arrive before the caller of ``publish`` knows its number.
        client.on_socket_register_write = lambda *_: None
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _on_connect(
        self,
        _client: paho.Client,
        _userdata: object,
        _flags: object,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._end(packets.refused(reason))
            return
        self._open = True
        self._events.append(packets.opened(properties))

    def _on_disconnect(
        self,
        _client: paho.Client,
        _userdata: object,
        flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        if self._secured is not None and not self._open:
            if self._secured.alert:
                self._end(Ended(Cause.TLS, f"the broker refused: {self._secured.alert}"))
                return
            if not self._spoken:
                self._end(Ended(Cause.TLS, "closed after the handshake: our certificate?"))
                return
        self._end(packets.ended(flags, reason, was_open=self._open))

    def _on_publish(
        self,
        _client: paho.Client,
        _userdata: object,
        mid: int,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        self._events.append(Answered(mid, reason.is_failure, packets.label(reason)))

    def _on_subscribe(
        self,
        _client: paho.Client,
        _userdata: object,
        mid: int,
        reasons: list[ReasonCode],
        _properties: object,
    ) -> None:
        refused = [reason for reason in reasons if reason.is_failure]
        self._events.append(Subscribed(mid, not refused, packets.label((refused or reasons)[0])))

    def _on_message(
        self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage
    ) -> None:
        properties = message.properties
        self._events.append(
            Received(
                message.topic,
                bytes(message.payload),
                message.retain,
                getattr(properties, "ResponseTopic", ""),
                getattr(properties, "CorrelationData", b""),
                time.monotonic(),
            )
        )

    def _end(self, event: Ended) -> None:
        if not self._over:
            self._over = True
            self._events.append(event)
