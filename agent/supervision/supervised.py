"""One child that is kept running: replaced when it dies, sends nothing or grows too large."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from functools import partial

from agent.supervision.child import Child, ChildBusy, ChildGone, ChildSpec, spawn
from agent.supervision.restart import Backoff
from agent.supervision.survivors import Survivors
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

START_LIMIT_S = 90.0
"""Where everything starts at once on a small computer, imports have taken more than 30 s."""
STABLE_S = 30.0
"""One that served this long starts the back-off over."""
BEAT_S = 0.5


class SupervisedChild:
    """The child and what is known of it.

    Driven by one thread, ``loop``, and by no other: the kernel kills the child when that thread
    ends, however the agent ends. A child that is replaced is logged as ``lost`` and counted in
    ``counter``.
    """

    def __init__(
        self, loop: str, lost: str, counter: str, telemetry: Telemetry, clock: Clock
    ) -> None:
        self._loop = loop
        self._lost = lost
        self._counter = counter
        self._telemetry = telemetry
        self._clock = clock
        self._backoff = Backoff(0.2, 10.0, random.Random())  # noqa: S311 - jitter, not a secret
        self._spawned_mono = self._looked_mono = self._heard_mono = 0.0
        self._survivors = Survivors()
        self.child: Child | None = None
        self.restarts = 0
        self.serving = threading.Event()
        """Set by whoever takes the child's messages, once it serves."""
        self.failure = ""
        """How the last one ended, in words."""

    @property
    def pid(self) -> int:
        """Process id of the child; 0 while there is none."""
        child = self.child
        return child.pid if child is not None else 0

    def keep(
        self,
        spec: Callable[[], ChildSpec],
        turn: Callable[[Child], str],
        stopping: threading.Event,
    ) -> None:
        """Keep a child running until ``stopping``; the last one is left to the caller.

        ``turn`` waits a little for word of the child, takes it, and returns why the child must be
        replaced, or nothing.
        """
        while not stopping.is_set():
            self._telemetry.beat(self._loop)
            self._survivors.again()
            child = self.child
            step = partial(self._start, spec) if child is None else partial(turn, child)
            if reason := self.attempt(step):
                self._replace_later(reason, stopping)

    def end(self, patience_s: float = 0.0) -> None:
        """End the last child: by itself within ``patience_s``, else by force. Never raises."""
        child, self.child = self.child, None
        if child is None:
            return
        try:
            child.stop(patience_s)
        except Exception:  # it ends with this thread at the latest
            logger.exception("supervision_failed", extra={"fields": {"loop": self._loop}})

    def attempt(self, step: Callable[[], str]) -> str:
        """Take one step, a start or a turn; return why the child must be replaced, or nothing."""
        try:
            return step()
        except ChildGone:
            return "exited"
        except ChildBusy:
            return "silent"
        except Exception:  # a defect must not end the service for good: say so, start over
            logger.exception("supervision_failed", extra={"fields": {"loop": self._loop}})
            return "failed"

    def receive(self, child: Child) -> list[object]:
        """Return what the child has sent. ``ChildGone``.

        Its silence is counted up to this call: what is done with its messages takes none of it.
        """
        self._looked_mono = self._clock()
        messages = child.receive()
        if messages:
            self._heard_mono = self._looked_mono
        return messages

    def judged(self, child: Child, silent_after_s: float, memory_limit_bytes: int) -> str:
        """Return why the child must be replaced, or nothing."""
        limit_s = silent_after_s if self.serving.is_set() else START_LIMIT_S
        if self._looked_mono - self._heard_mono > limit_s:
            return "silent"
        return "memory" if child.rss_bytes() > memory_limit_bytes else ""

    def _start(self, spec: Callable[[], ChildSpec]) -> str:
        """Start a child; return why that failed, or nothing."""
        self._spawned_mono = self._heard_mono = self._clock()
        try:
            self._survivors.check_room()
            self.child = spawn(spec())
        except OSError:
            return "no_process"
        return ""

    def _replace_later(self, reason: str, stopping: threading.Event) -> None:
        """End and forget the child, and wait for as long as the back-off says."""
        child, self.child = self.child, None
        self.failure = reason
        if child is not None:
            self.failure = f"{reason}: {self._survivors.end(child)}"
        if self.serving.is_set() and self._clock() - self._spawned_mono >= STABLE_S:
            self._backoff.reset()
        self.serving.clear()
        wait_s = self._backoff.next()
        log_event(
            logger,
            logging.ERROR,
            self._lost,
            reason=reason,
            detail=self.failure,
            retry_in_s=round(wait_s, 1),
        )
        self._telemetry.count(self._counter, reason=reason)
        self.restarts += 1
        end = self._clock() + wait_s
        while not stopping.wait(max(0.0, min(BEAT_S, end - self._clock()))):
            self._telemetry.beat(self._loop)
            if self._clock() >= end:
                return
