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

from agent.supervision.child import Child, ChildSpec
from agent.supervision.supervised import SupervisedChild
from agent.telemetry import Clock, NullTelemetry, Telemetry, log_event

logger = logging.getLogger(__name__)

LOOP = "embedded_broker"
TARGET = "agent.publishing.embedded.process:main"
TURN_S = 0.5
SILENT_AFTER_S = 10.0
"""A broker whose heartbeat stays away for this long is killed and replaced."""

MEMORY_LIMIT_BYTES = 512 * 1024 * 1024
BACKLOG = 64


class BrokerError(Exception):
    """The embedded broker cannot be started; the text says why and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; ``BrokerError`` names the key of a port that cannot be had."""
    try:
        return socket.create_server((host, port), backlog=BACKLOG)
    except OSError as error:
        raise BrokerError(
            f"mqtt.embedded_port: {host}:{port}: {error.strerror};"
            " choose another port, or name the broker that is there as mqtt.broker"
        ) from error


class EmbeddedBroker:
    """amqtt in a child process, replaced when it dies, hangs or grows too large.

    ``port`` 0 takes a free one.
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
        self._listener: socket.socket | None = None
        self._supervised = SupervisedChild(
            LOOP, "embedded_broker_lost", "broker_restarts", telemetry or NullTelemetry(), clock
        )
        self._stop_timeout_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=LOOP, daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before ``start``."""
        return int(self._listener.getsockname()[1]) if self._listener is not None else 0

    @property
    def pid(self) -> int:
        """Process id of the broker; 0 while there is none."""
        return self._supervised.pid

    @property
    def restarts(self) -> int:
        """How many brokers were replaced."""
        return self._supervised.restarts

    def alive(self) -> bool:
        """Whether a broker serves."""
        return self._supervised.serving.is_set()

    def start(self, timeout_s: float) -> None:
        """Return when the broker serves; ``BrokerError`` names a port in use or what went wrong."""
        self._listener = listen(self._host, self._wanted_port)
        self._thread.start()
        if not self._supervised.serving.wait(timeout_s):
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
        self._supervised.keep(self._spec, self._turn, self._stop)
        self._supervised.end(self._stop_timeout_s)

    def _spec(self) -> ChildSpec:
        assert self._listener is not None
        return ChildSpec("broker", TARGET, fds={"listener": self._listener.fileno()})

    def _turn(self, child: Child) -> str:
        """Wait a turn for word of the child; return why it must be replaced, or nothing."""
        poll = select.poll()
        poll.register(child.fileno(), select.POLLIN)
        poll.poll(TURN_S * 1000)
        serving = self._supervised.serving
        if self._supervised.receive(child) and not serving.is_set():
            serving.set()
            log_event(logger, logging.INFO, "embedded_broker_ready", port=self.port)
        return self._supervised.judged(child, SILENT_AFTER_S, MEMORY_LIMIT_BYTES)
