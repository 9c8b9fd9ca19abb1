"""What wakes a thread that waits on descriptors: closed with its object, and not before."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from agent.supervision.waker import Waker

AT_EXIT = """
import atexit, os, weakref
from agent.supervision.waker import Waker
atexit.register(lambda: print(os.fstat(waker.fd).st_ino > 0))
waker = Waker()
"""


def test_a_wake_ends_one_wait_and_no_more() -> None:
    waker = Waker()
    waker.wake()
    waker.wake()
    waker.wait(60.0)
    with pytest.raises(BlockingIOError):
        os.eventfd_read(waker.fd)


def test_its_descriptor_goes_with_the_object() -> None:
    waker = Waker()
    fd = waker.fd
    del waker
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_its_descriptor_outlives_the_exit_handlers_that_other_threads_may_run_beside() -> None:
    found = subprocess.run(
        [sys.executable, "-c", AT_EXIT], capture_output=True, text=True, timeout=60, check=True
    )
    assert (found.stdout.strip(), found.stderr) == ("True", "")
