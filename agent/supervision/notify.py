"""systemd's notification protocol (sd_notify(3)): ready, alive, stopping, in one datagram each.

The watchdog is fed by what really moves: ``tick`` looks at the loops and sends nothing while one of
them stands, so that systemd ends and restarts an agent that only looks alive.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping

from agent.telemetry import log_event

logger = logging.getLogger(__name__)


class Notifier:
    """Talks to the service manager that the environment names; without one it does nothing."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # An abstract address is written with @ and begins with a zero byte.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = watchdog_s(environment, os.getpid()) if address else 0.0

    def ready(self, status: str) -> None:
        """Say that the start is over."""
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, words: str) -> None:
        """Say one line for ``systemctl status``."""
        self._send(f"STATUS={words}")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)  # a manager that does not read must not hold us up
                sender.sendto(message.encode(), self._address)
        except OSError as error:
            log_event(logger, logging.WARNING, "notify_failed", error=str(error))


def watchdog_s(environment: Mapping[str, str], pid: int) -> float:
    """Return systemd's limit in seconds; 0 when there is none or it is another process's."""
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return 0.0
    limit = environment.get("WATCHDOG_USEC", "")
    return int(limit) / 1e6 if limit.isascii() and limit.isdecimal() else 0.0


class Watchdog:
    """Feeds while ``reasons`` (why the agent is not alive) is empty, four times per limit."""

    def __init__(self, notifier: Notifier, reasons: Callable[[], tuple[str, ...]]) -> None:
        self._notifier = notifier
        self._reasons = reasons
        self._due = 0.0
        self._reported: tuple[str, ...] = ()

    def tick(self, now: float) -> None:
        """Look, and feed when it is time; ``now`` is monotonic seconds."""
        if now < self._due:
            return
        self._due = now + (self._notifier.watchdog_s / 4 or 1.0)
        reasons = self._reasons()
        if not reasons and self._notifier.watchdog_s:
            self._notifier.alive()
        if reasons != self._reported:
            self._reported = reasons
            self._notifier.status("; ".join(reasons) or "all loops move")
