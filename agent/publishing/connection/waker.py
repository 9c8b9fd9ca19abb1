"""Wakes one thread that waits on descriptors, from any other."""

from __future__ import annotations

import contextlib
import os
import select
import threading


class Waker:
    """An eventfd that may be closed while others still call ``wake``."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()

    def wake(self) -> None:
        with self._lock:
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    def wait(self, fd: int | None, writing: bool, timeout_s: float) -> None:
        """Wait until woken, until ``fd`` can be read (or written), or for ``timeout_s``."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if fd is not None and fd >= 0:
            poll.register(fd, select.POLLIN | (select.POLLOUT if writing else 0))
        poll.poll(max(0.0, timeout_s) * 1000)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)

    def close(self) -> None:
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1
