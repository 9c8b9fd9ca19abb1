"""One child that is kept running: replaced when it dies, sends nothing or grows too large."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

from agent.supervision.child import Child, ChildSpec, spawn
from agent.supervision.restart import Backoff
from agent.telemetry import Clock

STABLE_S = 30.0
"""One that served this long starts the back-off over."""


class SupervisedChild:
    """The child and what is known of it. Driven by the thread that owns it, and by no other."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._backoff = Backoff(0.2, 10.0, random.Random())  # noqa: S311 - jitter, not a secret
        self._spawned = self._last_message_mono = 0.0
        self.child: Child | None = None
        self.serving = False
        """Whether its first message has come."""
        self.failure = ""
        """How the last one ended, in words."""

    @property
    def pid(self) -> int:
        """Process id of the child; 0 while there is none."""
        child = self.child
        return child.pid if child is not None else 0

    def replace(self, spec: ChildSpec) -> str:
        """Start a child; return why that failed, or nothing."""
        self.serving = False
        self._last_message_mono = self._spawned = self._clock()
        try:
            self.child = spawn(spec)
        except OSError:
            return "no_process"
        return ""

    def mark_alive(self, now: float) -> None:
        """Note that a message came."""
        self._last_message_mono = now

    def silence_s(self, now: float) -> float:
        """Return how long no message has come."""
        return now - self._last_message_mono

    def discard(self, reason: str) -> float:
        """End and forget the child; return how many seconds to wait before the next one."""
        child, self.child = self.child, None
        self.failure = reason
        if child is not None:
            child.kill()
            self.failure = f"{reason}: {child.describe_exit()}"
        if self.serving and self._clock() - self._spawned >= STABLE_S:
            self._backoff.reset()
        return self._backoff.next()

    def pause(self, wait_s: float, turn_s: float, stop: threading.Event) -> Iterator[None]:
        """Wait for ``wait_s``, or until ``stop``; yields once a turn, for a heartbeat."""
        end = self._clock() + wait_s
        while not stop.wait(max(0.0, min(turn_s, end - self._clock()))):
            yield
            if self._clock() >= end:
                return
