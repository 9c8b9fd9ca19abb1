"""The owner thread: one link, one connection at a time, from start to clean stop.

All of paho is driven from here. Nothing is handed over while offline, and an answer that does not
come in time ends the connection.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from agent.config import Mqtt
from agent.config.url import parse_broker
from agent.publishing.connection.connection import Connection, ConnectRequest
from agent.publishing.connection.events import Answered, Ended, Event, Opened, Received, Subscribed
from agent.publishing.connection.farewell import Farewell, Step
from agent.publishing.connection.link import Cause, Link, LinkState
from agent.publishing.connection.sender import Sender
from agent.publishing.connection.tls import tls_context
from agent.publishing.outbox.outbox import Outbox
from agent.publishing.wire.messages import Entry, Message
from agent.records import LinkStatus
from agent.supervision.waker import Waker
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

IDLE_S = 0.5
"""The loop turns at least this often, whatever the broker does."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Where to connect, as whom, and which topics to listen to.

    ``name`` tells this client's loop and metrics from another's in the same agent.
    ``farewell_with_will``: the DISCONNECT after a farewell asks for the will as well (MQTT 5).
    """

    mqtt: Mqtt
    client_id: str
    subscriptions: tuple[str, ...] = ()
    state_topics: tuple[str, ...] = ()  # of the subscriptions, those that state what is the case
    event_topics: tuple[str, ...] = ()  # those of which nothing that a broker has stored is wanted
    name: str = "uns"
    farewell_with_will: bool = False

    @property
    def loop(self) -> str:
        return "publisher" if self.name == "uns" else f"publisher_{self.name}"


@dataclass(frozen=True, slots=True)
class SessionHooks:
    """What the session asks of its publisher; all but ``will`` are called in the owner thread."""

    will: Callable[[], Message]
    online: Callable[[float], None]  # connected: put what is fresh, before the snapshot is sent
    tick: Callable[[float], None]  # every turn while online
    farewell: Callable[[float], Entry | None]  # the last message of a connection, if there is one
    received: Callable[[Received], bool]  # false: another client uses our session
    link: Callable[[LinkStatus], None]


class Session:
    """Runs the link to one broker until it is stopped.

    Raises ``ValueError`` when ``mqtt.broker`` names no host, and ``TlsError`` for TLS files that
    cannot be used.
    """

    def __init__(
        self,
        settings: SessionSettings,
        outbox: Outbox,
        telemetry: Telemetry,
        clock: Clock,
        hooks: SessionHooks,
    ) -> None:
        address = parse_broker(settings.mqtt.broker or "")
        if address.kind != "network":
            raise ValueError(f"mqtt.broker is {settings.mqtt.broker!r}, which names no host")
        self._address = address
        self._tls = tls_context(settings.mqtt.tls) if address.tls else None
        self._settings = settings
        self._outbox = outbox
        self._telemetry = telemetry
        self._clock = clock
        self._hooks = hooks
        rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._link = Link(settings.mqtt, rng, clock())
        self._sender = Sender(settings.mqtt, outbox, telemetry)
        self._connection: Connection | None = None
        self._status = LinkStatus(False, "", "starting", clock())
        self._stop: Farewell | None = None  # set once, by any thread
        self._disconnect: Farewell | None = None  # of the owner thread alone
        self._waker = Waker()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=settings.loop, daemon=True)

    # --- for other threads ---

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._waker.wake()

    def status(self) -> LinkStatus:
        return self._status

    def stop(self, timeout_s: float) -> bool:
        """Send what waits and a last message, then DISCONNECT; true when that was acknowledged."""
        if not self._thread.is_alive():
            return False
        self._stop = Farewell.within(timeout_s, self._clock())
        self._waker.wake()
        self._thread.join(timeout_s + 2 * IDLE_S)
        return self._stop.acknowledged

    def disconnect(self, timeout_s: float, reason: str) -> None:
        """Disconnect in order; another connection may follow. For the hooks."""
        self._disconnect = self._disconnect or Farewell.within(timeout_s, self._clock(), reason)

    # --- the thread ---

    def _run(self) -> None:
        while not self._done.is_set():
            try:
                self._step()
            except Exception:  # the top of the thread: the agent outlives a fault in here
                logger.exception("publisher_failed", extra={"fields": {}})
                self._recover()
        self._outbox.close("shutdown", clean=self._stop is not None and self._stop.acknowledged)

    def _step(self) -> None:
        now = self._clock()
        self._telemetry.beat(self._settings.loop)
        self._outbox.tick(now)
        farewell = self._stop or self._disconnect
        if farewell is not None:
            self._end_in_order(farewell, now)
        elif self._link.due(now) and not self._still_connecting():
            self._connect(now)
        connection = self._connection
        if self._link.state is LinkState.ONLINE and connection is not None:
            if farewell is None:
                self._hooks.tick(now)
            self._sender.send(connection, now)
            self._check_timeout(connection, now)
        fd = connection.fileno() if connection is not None else None
        writing = fd is not None and connection is not None and connection.wants_write()
        self._waker.wait(self._wait_s(now), fd, writing=writing)
        if connection is not None:
            for event in connection.step(self._clock()):
                self._on(event, self._clock())

    def _wait_s(self, now: float) -> float:
        if self._done.is_set():
            return 0.0
        if (farewell := self._stop or self._disconnect) is not None:
            return min(IDLE_S, max(0.001, farewell.due_at - now))
        if self._link.state is LinkState.WAITING:
            return min(IDLE_S, max(0.01, self._link.due_at - now))
        if self._link.state is LinkState.ONLINE and self._sender.has_room():
            return min(IDLE_S, max(0.001, self._outbox.due_in(now)))
        return IDLE_S

    def _recover(self) -> None:
        """Start over after a fault, without calling anybody who may have caused it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        self._sender.return_unanswered()
        if self._link.state is LinkState.ONLINE:
            self._link.on(Cause.LOST, self._clock())
        elif self._link.state is LinkState.CONNECTING:
            self._link.on(Cause.REFUSED, self._clock())
        self._disconnect = None
        if self._stop is not None:
            self._done.set()
        self._done.wait(IDLE_S)

    # --- connecting ---

    def _still_connecting(self) -> bool:
        """A name look-up that hangs must not pile up threads: one at a time."""
        return self._connection is not None and self._connection.connecting()

    def _connect(self, now: float) -> None:
        mqtt, address = self._settings.mqtt, self._address
        password = mqtt.password.get_secret_value() if mqtt.password is not None else None
        self._link.on(Cause.DUE, now)
        self._connection = Connection(
            ConnectRequest(
                address=address,
                client_id=self._settings.client_id,
                keepalive_s=mqtt.keepalive_s,
                protocol=self._link.protocol,
                will=self._hooks.will,
                username=address.username if address.username is not None else mqtt.username,
                password=address.password if address.password is not None else password,
                tls=self._tls,
            ),
            self._waker.wake,
            now,
        )

    def _on(self, event: Event, now: float) -> None:
        match event:
            case Opened():
                self._opened(event, now)
            case Ended():
                self._ended(event, now)
            case Answered():
                settled = self._sender.answered(event, now)
                if settled is not None and self._stop is not None:
                    entry, delivered = settled
                    if entry is self._stop.message:
                        self._stop.acknowledged = delivered
            case Received():
                if not self._hooks.received(event):
                    self._yield_session(now)
            case Subscribed(accepted=False):
                self._log(logging.WARNING, "subscription_refused", reason=event.reason)
            case Subscribed():
                pass

    def _opened(self, event: Opened, now: float) -> None:
        assert self._connection is not None
        self._link.on(Cause.CONNECTED, now)
        self._sender.opened(event)
        self._count("broker_connects", outcome=Cause.CONNECTED)
        self._log(logging.INFO, "broker_connected", protocol=self._link.protocol)
        self._report(True, Cause.CONNECTED, now)
        settings = self._settings
        for topic in settings.subscriptions:
            self._connection.subscribe(
                topic,
                state=topic in settings.state_topics,
                stored=topic not in settings.event_topics,
            )
        self._hooks.online(now)
        self._outbox.snapshot(now)

    def _ended(self, event: Ended, now: float) -> None:
        if event.cause is Cause.LOST and not event.wanted:
            self._sender.closed_by_broker(now)
        self._sender.return_unanswered()
        ordered, self._disconnect = self._disconnect, None
        if event.wanted and self._stop is not None:
            self._finish(now)
            return
        left = ordered.reason if ordered is not None else ""
        was_online, spoken = self._link.state is LinkState.ONLINE, self._link.protocol
        self._link.on(event.cause, now)
        if was_online:
            self._count("broker_disconnects", reason=event.cause)
        else:
            self._count("broker_connects", outcome=event.cause)
        if event.cause is Cause.UNSUPPORTED and self._link.protocol != spoken:
            self._log(
                logging.INFO, "protocol_chosen", protocol=self._link.protocol, instead_of=spoken
            )
        else:
            self._log(
                logging.INFO if left else logging.WARNING,
                "broker_lost" if was_online else "broker_connect_failed",
                cause=str(event.cause),
                reason=left or event.reason,
                protocol=spoken,
                retry_in_s=round(self._link.due_at - now, 1),
            )
        self._report(False, event.cause, now)

    def _check_timeout(self, connection: Connection, now: float) -> None:
        """Close a connection whose acknowledgements stay away: it is half open."""
        late = self._sender.overdue(now)
        if late is not None:
            connection.abort()
            self._ended(Ended(Cause.SILENT, f"no answer to {late.topic}"), now)

    def _yield_session(self, now: float) -> None:
        """Another client uses our id: each would take the session over from the other for ever."""
        if self._link.state is LinkState.ONLINE and self._connection is not None:
            self._connection.abort()
            self._ended(Ended(Cause.TAKEN_OVER, "another session publishes as this agent"), now)

    def _report(self, connected: bool, reason: Cause, now: float) -> None:
        self._telemetry.gauge("broker_connected", float(connected), client=self._settings.name)
        self._status = LinkStatus(
            connected=connected,
            protocol=self._link.protocol if connected else "",
            reason=str(reason),
            since_mono=now if connected != self._status.connected else self._status.since_mono,
            reconnects=max(0, self._link.connects - 1),
        )
        self._hooks.link(self._status)

    # --- an orderly end ---

    def _end_in_order(self, farewell: Farewell, now: float) -> None:
        connection = self._connection
        if connection is None or self._link.state is not LinkState.ONLINE:
            self._finish(now)
            return
        match farewell.step(now, self._outbox.waiting(), idle=self._sender.idle()):
            case Step.LAST_MESSAGE:
                self._outbox.discard("shutdown")
                farewell.sent, farewell.message = True, self._hooks.farewell(now)
                if farewell.message is not None:
                    self._outbox.put(farewell.message, now)
            case Step.DISCONNECT:
                farewell.disconnecting = True
                with_will = self._settings.farewell_with_will and farewell.message is not None
                connection.disconnect(with_will=with_will)
            case Step.CLOSE if farewell.reason:
                connection.abort()
                self._ended(Ended(Cause.LOST, "no end in time"), now)
            case Step.CLOSE:
                self._finish(now)
            case Step.WAIT:
                pass

    def _finish(self, now: float) -> None:
        """Close whatever is left. Without a farewell the broker will publish the will."""
        if self._connection is not None:
            self._connection.abort()
        self._sender.return_unanswered()
        self._link.on(Cause.STOPPED, now)
        self._done.set()
        self._report(False, Cause.STOPPED, now)

    def _count(self, name: str, **labels: str) -> None:
        self._telemetry.count(name, **labels, client=self._settings.name)

    def _log(self, level: int, event: str, **fields: object) -> None:
        broker = f"{self._address.host}:{self._address.port}"
        log_event(logger, level, event, broker=broker, client=self._settings.name, **fields)
