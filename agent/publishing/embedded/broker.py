"""The broker that comes with the agent, for the demonstration and for machines without one.

It runs in a child process on loopback only, without a password, and remembers nothing over its own
restarts: the publisher republishes the whole state. The listening socket stays with the parent,
so that a restarted broker has the same port for certain, and clients that come meanwhile wait
instead of being refused.
"""

from __future__ import annotations

import ipaddress
import logging
import select
import socket
import threading
import time

from agent.supervision.child import Child, ChildGone, ChildSpec
from agent.supervision.supervised import SupervisedChild
from agent.telemetry import Clock, NullTelemetry, Telemetry, log_event

logger = logging.getLogger(__name__)

LOOP = "embedded_broker"
TARGET = "agent.publishing.embedded.process:main"
TURN_S = 0.5
SILENT_AFTER_S = 10.0
"""A broker whose heartbeat stays away for this long is killed and replaced."""

START_LIMIT_S = 30.0

MEMORY_LIMIT_BYTES = 512 * 1024 * 1024
BACKLOG = 64


class BrokerError(Exception):
    """The embedded broker cannot be started; the text says why and what to do."""


class EmbeddedBroker:
    """amqtt in a child process, replaced when it dies, hangs or grows too large.

    ``port`` 0 takes a free one. One thread of its own spawns and watches the child: the kernel
    kills the child when that thread ends, however the agent ends.
    """

    def __init__(
        self,
        host: str,
        port: int,
        telemetry: Telemetry | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise BrokerError(f"the embedded broker has no password: {host} is not loopback")
        self._host = host
        self._wanted_port = port
        self._telemetry = telemetry or NullTelemetry()
        self._clock = clock
        self._listener: socket.socket | None = None
        self._supervised = SupervisedChild(clock)
        self._stop_timeout_s = 0.0
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=LOOP, daemon=True)
        self.restarts = 0

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before ``start``."""
        return int(self._listener.getsockname()[1]) if self._listener is not None else 0

    @property
    def pid(self) -> int:
        """Process id of the broker; 0 while there is none."""
        return self._supervised.pid

    def alive(self) -> bool:
        """Whether a broker runs and has said so lately."""
        return self._ready.is_set() and self._supervised.silence_s(self._clock()) < SILENT_AFTER_S

    def rss_bytes(self) -> int:
        """Resident memory of the broker's process; 0 while there is none."""
        child = self._supervised.child
        return child.rss_bytes() if child is not None else 0

    def start(self, timeout_s: float) -> None:
        """Return when the broker serves; ``BrokerError`` names a port in use or what went wrong."""
        try:
            self._listener = socket.create_server((self._host, self._wanted_port), backlog=BACKLOG)
        except OSError as error:
            raise BrokerError(
                f"mqtt.embedded_port: {self._host}:{self._wanted_port}: {error.strerror};"
                " choose another port, or name the broker that is there as mqtt.broker"
            ) from error
        self._thread.start()
        if not self._ready.wait(timeout_s):
            said = self._supervised.failure or "it said nothing"
            self.stop()
            raise BrokerError(f"the embedded broker did not start within {timeout_s:g} s: {said}")

    def stop(self, timeout_s: float = 3.0) -> None:
        """End the broker and free the port; one that has not ended in time is killed."""
        self._stop_timeout_s = timeout_s
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s + 2 * TURN_S + 1.0)
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    # --- the thread that owns the child ---

    def _run(self) -> None:
        while not self._stop.is_set():
            self._telemetry.beat(LOOP)
            child = self._supervised.child
            reason = self._replace() if child is None else self._watch(child)
            if reason:
                self._ready.clear()
                self._replace_later(reason)
        if self._supervised.child is not None:
            self._supervised.child.stop(self._stop_timeout_s)
            self._supervised.child = None

    def _replace(self) -> str:
        """Start a child; return why that failed, or nothing."""
        assert self._listener is not None
        fds = {"listener": self._listener.fileno()}
        return self._supervised.replace(ChildSpec("broker", TARGET, fds=fds))

    def _watch(self, child: Child) -> str:
        """Wait a turn for word of the child; return why it must be replaced, or nothing."""
        poll = select.poll()
        poll.register(child.fileno(), select.POLLIN)
        poll.poll(TURN_S * 1000)
        now = self._clock()
        try:
            if child.receive():
                self._supervised.mark_alive(now)
                if not self._supervised.serving:
                    self._supervised.serving = True
                    self._ready.set()
                    log_event(logger, logging.INFO, "embedded_broker_ready", port=self.port)
        except ChildGone:
            return "exited"
        limit_s = SILENT_AFTER_S if self._supervised.serving else START_LIMIT_S
        if self._supervised.silence_s(now) > limit_s:
            return "silent"
        if child.rss_bytes() > MEMORY_LIMIT_BYTES:
            return "memory"
        return ""

    def _replace_later(self, reason: str) -> None:
        wait_s = self._supervised.discard(reason)
        self.restarts += 1
        log_event(
            logger,
            logging.ERROR,
            "embedded_broker_lost",
            reason=reason,
            detail=self._supervised.failure,
            retry_in_s=round(wait_s, 1),
        )
        self._telemetry.count("broker_restarts", reason=reason)
        for _ in self._supervised.pause(wait_s, TURN_S, self._stop):
            self._telemetry.beat(LOOP)
