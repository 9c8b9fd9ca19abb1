"""The live path goes first: workers pause while it handles a picture, at their start too.

A lower priority alone does not do it: on cores that share caches, memory and execution units, a
worker of priority ``idle`` on the other core still made every segmentation a third slower (measured
on two cores). So the parent says, in eight bytes of shared memory, until when it wants the machine
for itself, and a worker reads them while it computes. What is written is a time, not a flag: a
parent that hangs or dies holds nobody up for longer than ``HOLD_S``.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

HOLD_S = 0.05
"""Longest claim. A live path that is busy for longer at a stretch shares the machine again."""
CHECK_S = 0.001
"""How often a worker checks: no longer than its shortest calls into native code take."""
POLL_S = 0.0005

_BYTES = 8


class LivePriority:
    """The live path's side: claims the processors. ``OSError`` when there is no memory for it."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("live-priority", os.MFD_CLOEXEC)
        os.posix_fallocate(self.fd, 0, _BYTES)
        self._until_ns = memoryview(mmap.mmap(self.fd, _BYTES)).cast("Q")

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Have the workers pause meanwhile, at most ``HOLD_S``."""
        self._until_ns[0] = time.monotonic_ns() + int(HOLD_S * 1e9)
        try:
            yield
        finally:
            self._until_ns[0] = 0


class PauseForLive:
    """A worker's side: pauses while the live path claims the processors.

    Only in the main thread, which alone runs signal handlers. ``sleep`` is replaced in tests.
    """

    def __init__(self, fd: int, sleep: Callable[[float], None] = time.sleep) -> None:
        mapped = mmap.mmap(fd, _BYTES, prot=mmap.PROT_READ)
        self._until_ns = memoryview(mapped).cast("Q")
        self._sleep = sleep
        self._share = 1.0
        self._pausing = False
        self._paused_s = self._began_mono = 0.0
        signal.signal(signal.SIGALRM, self._on_timer)
        signal.siginterrupt(
            signal.SIGALRM, False
        )  # native code may not expect its calls to be cut short

    @contextlib.contextmanager
    def meanwhile(self, share: float = 1.0) -> Iterator[None]:
        """Check every ``CHECK_S`` of this block, between two instructions of the interpreter.

        Of the block's time at most ``share`` is paused, and ``HOLD_S``: what has to end one day
        does so beside a live path that always has a picture in hand.
        """
        self._share, self._paused_s, self._began_mono = share, 0.0, time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, CHECK_S, CHECK_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def wait(self, limit_s: float = math.inf) -> None:
        """Return once nobody claims the processors, or after ``limit_s``."""
        end = time.monotonic() + limit_s
        while time.monotonic_ns() < self._until_ns[0] and time.monotonic() < end:
            self._sleep(POLL_S)

    def _on_timer(self, _signal: int, _frame: FrameType | None) -> None:
        if self._pausing:  # the timer goes on, and would call this again within itself
            return
        now = time.monotonic()
        allowed_s = HOLD_S + self._share * (now - self._began_mono) - self._paused_s
        if allowed_s > 0:
            self._pausing = True
            try:
                self.wait(allowed_s)
            finally:
                self._pausing = False
            self._paused_s += time.monotonic() - now
