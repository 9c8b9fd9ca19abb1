"""The live path goes first: workers pause while it handles a picture.

A lower priority alone does not do it: on cores that share caches, memory and execution units, a
worker of priority ``idle`` on the other core still made every segmentation a third slower (measured
on two cores). So the parent says, in eight bytes of shared memory, until when it wants the machine
for itself, and a worker reads them while it computes. What is written is a time, not a flag: a
parent that hangs or dies holds nobody up for longer than ``HOLD_S``.
"""

from __future__ import annotations

import contextlib
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
        signal.signal(signal.SIGALRM, self._on_timer)
        signal.siginterrupt(
            signal.SIGALRM, False
        )  # native code may not expect its calls to be cut short

    @contextlib.contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Check every ``CHECK_S`` of this block, between two instructions of the interpreter."""
        signal.setitimer(signal.ITIMER_REAL, CHECK_S, CHECK_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def wait(self) -> None:
        """Return once nobody claims the processors."""
        while time.monotonic_ns() < self._until_ns[0]:
            self._sleep(POLL_S)

    def _on_timer(self, _signal: int, _frame: FrameType | None) -> None:
        self.wait()
