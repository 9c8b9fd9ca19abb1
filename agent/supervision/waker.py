"""Wakes one thread that waits on descriptors, from any other, and from other processes."""

from __future__ import annotations

import contextlib
import os
import select
import weakref


class Waker:
    """An eventfd, closed with this object and not before: somebody may still be waiting on it."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # Not at the exit of the interpreter: a thread that outlived its stop still waits then.
        weakref.finalize(self, os.close, self.fd).atexit = False

    def wake(self) -> None:
        os.eventfd_write(self.fd, 1)

    def wait(self, timeout_s: float, *fds: int | None, writing: bool = False) -> None:
        """Wait until woken, until one of ``fds`` can be read (or written), or for ``timeout_s``."""
        poll = select.poll()  # and not select(), which ends at 1024 descriptors
        poll.register(self.fd, select.POLLIN)
        for fd in fds:
            if fd is not None and fd >= 0:
                poll.register(fd, select.POLLIN | (select.POLLOUT if writing else 0))
        poll.poll(max(0.0, timeout_s) * 1000)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)
