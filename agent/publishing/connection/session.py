"""The owner thread: one link, one connection at a time, from start to clean stop.

All of paho is driven from here. Nothing is handed over while offline, and an answer that does not
come in time ends the connection.
"""

from __future__ import annotations

import logging
import math
import random
import threading

from agent.config.url import parse_broker
from agent.publishing.connection.connection import Connection, ConnectRequest
from agent.publishing.connection.events import (
    Answered,
    Ended,
    Event,
    Opened,
    Received,
    Rival,
    Subscribed,
)
from agent.publishing.connection.farewell import Farewell, Step
from agent.publishing.connection.limits import CONSEQUENCES, NO_RETAIN, NO_WILDCARDS, BrokerLimits
from agent.publishing.connection.link import Cause, Link, LinkState
from agent.publishing.connection.report import LinkReport
from agent.publishing.connection.sender import Sender
from agent.publishing.connection.settings import SessionHooks, SessionSettings
from agent.publishing.connection.subscriptions import Subscriptions
from agent.publishing.connection.tls import TlsFiles
from agent.publishing.outbox.outbox import Outbox
from agent.records import LinkStatus
from agent.supervision.waker import Waker
from agent.telemetry import Clock, Telemetry

logger = logging.getLogger(__name__)

IDLE_S = 0.5
"""The loop turns at least this often, whatever the broker does."""

HOLD_S = 2.0
"""For an orderly end when the session is to stay away."""

REPEAT_S = 60.0
"""How often a broker that retains nothing is told the alarms again."""


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
        self._tls = TlsFiles(settings.mqtt.tls, settings.name) if address.tls else None
        self._settings = settings
        self._outbox = outbox
        self._telemetry = telemetry
        self._clock = clock
        self._hooks = hooks
        rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._link = Link(settings.mqtt, rng, clock())
        self._sender = Sender(settings.mqtt, settings.name, outbox, telemetry, clock())
        self._subscriptions = Subscriptions(settings.subscriptions, settings.name)
        unused = set() if settings.retains else {NO_RETAIN}
        unused |= set() if self._subscriptions.need_wildcards else {NO_WILDCARDS}
        needs = frozenset(CONSEQUENCES.keys() - unused)
        self._limits = BrokerLimits(settings.name, needs, retain=settings.mqtt.retain)
        self._repeat_at = math.inf
        self._report = LinkReport(settings.name, address, telemetry, hooks.link, clock())
        self._connection: Connection | None = None
        self._stop: Farewell | None = None  # set once, by any thread
        self._disconnect: Farewell | None = None  # of the owner thread alone
        self._held = False
        self._handing_over = False
        self._waker = Waker()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=settings.loop, daemon=True)

    # --- for other threads ---

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._waker.wake()

    def status(self) -> LinkStatus:
        return self._report.status

    def stop(self, timeout_s: float) -> bool:
        """Send what waits and a last message, then DISCONNECT; true when that was acknowledged."""
        if not self._thread.is_alive():
            return False
        end = Farewell.without_message if self._handing_over else Farewell.within
        self._stop = end(timeout_s, self._clock())
        self._waker.wake()
        self._thread.join(timeout_s + 2 * IDLE_S)
        return self._stop.acknowledged

    def hand_over(self, timeout_s: float) -> bool:
        """Disconnect without a last message and leave all that waits to another session of the same
        outbox; true once this one has ended. Nothing new is sent meanwhile."""
        self._handing_over = True
        self.stop(timeout_s)
        return not self._thread.is_alive()

    def disconnect(self, timeout_s: float, reason: str) -> None:
        """Disconnect in order; another connection may follow. For the hooks."""
        self._disconnect = self._disconnect or Farewell.within(timeout_s, self._clock(), reason)

    def hold(self, held: bool) -> None:
        """Whether to stay away from the broker until further notice."""
        self._held = held
        self._waker.wake()

    # --- the thread ---

    def _run(self) -> None:
        while not self._done.is_set():
            try:
                self._step()
            except Exception:  # the top of the thread: the agent outlives a fault in here
                logger.exception("publisher_failed", extra={"fields": {}})
                self._recover()
        if not self._handing_over:
            acknowledged = self._stop is not None and self._stop.acknowledged
            self._outbox.close("shutdown", clean=acknowledged)

    def _step(self) -> None:
        now = self._clock()
        self._telemetry.beat(self._settings.loop)
        self._outbox.tick(now)
        if self._held and self._link.state is LinkState.ONLINE:
            self.disconnect(HOLD_S, "another agent has our id")
        farewell = self._stop or self._disconnect
        if farewell is not None:
            self._end_in_order(farewell, now)
        elif self._link.due(now) and not self._held and not self._still_connecting():
            self._connect(now)
        connection = self._connection
        if self._link.state is LinkState.ONLINE and connection is not None:
            if farewell is None:
                self._hooks.tick(now)
                heard, busy = self._sender.heard, self._sender.probing()
                self._subscriptions.tick(connection, now, heard=heard, busy=busy)
            if now >= self._repeat_at:
                self._repeat_at = now + REPEAT_S
                self._outbox.repeat(now)
            if not self._handing_over:
                self._sender.send(connection, now, may_probe=not self._subscriptions.probing())
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
        if self._link.state is LinkState.ONLINE:
            return min(IDLE_S, max(0.001, self._sender.due_in(now)))
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
                will_retain=self._limits.will_retain,
                will_qos=self._limits.will_qos,
                username=address.username if address.username is not None else mqtt.username,
                password=address.password if address.password is not None else password,
                tls=self._tls.context if self._tls is not None else None,
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
                self._judge_rival(self._hooks.received(event), now)
            case Subscribed():
                self._subscriptions.answered(event, now)

    def _opened(self, event: Opened, now: float) -> None:
        assert self._connection is not None
        can = self._limits.opened(event)
        self._link.on(Cause.CONNECTED, now)
        self._connection.retain = can.retain
        self._repeat_at = math.inf if can.retain else now + REPEAT_S
        self._sender.opened(can)
        self._report.connected(self._link, now)
        self._subscriptions.opened(self._connection, wildcards=can.wildcards)
        self._hooks.online(now)
        self._outbox.snapshot(now)

    def _ended(self, event: Ended, now: float) -> None:
        if event.cause in (Cause.LOST, Cause.TOO_FAST) and not event.wanted:
            self._sender.closed_by_broker(event.cause, self._subscriptions.closed(now), now)
        self._sender.return_unanswered()
        ordered, self._disconnect = self._disconnect, None
        if event.wanted and self._stop is not None:
            self._finish(now)
            return
        left = ordered.reason if ordered is not None else ""
        before = (self._link.state, self._link.protocol)
        was_online = self._link.state is LinkState.ONLINE
        asks_for_less = self._limits.refused(event.cause, online=was_online)
        self._link.on(event.cause, now, at_once=asks_for_less and not was_online)
        self._report.ended(self._link, event, now, before=before, left=left)

    def _check_timeout(self, connection: Connection, now: float) -> None:
        """Close a connection whose acknowledgements stay away: it is half open."""
        late = self._sender.overdue(now)
        if late is not None:
            connection.abort()
            self._ended(Ended(Cause.SILENT, f"no answer to {late.topic}"), now)

    def _judge_rival(self, rival: Rival, now: float) -> None:
        """Another agent has our name: each would take the session over from the other for ever.

        The one that was there first stays, and takes the session back where it is taken.
        """
        if rival is Rival.NONE:
            return
        self._link.keeps_session = rival is Rival.YOUNGER
        if self._link.state is not LinkState.ONLINE or self._connection is None:
            return
        if rival is Rival.YOUNGER:
            self._report.rival(now)
            return
        self._connection.abort()
        self._ended(Ended(Cause.TAKEN_OVER, "another session publishes as this agent"), now)

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
        self._report.change(Cause.STOPPED, self._link, now)
