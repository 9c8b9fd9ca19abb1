"""Small helpers that tests of several stages share."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable

import pytest


def wait_until(
    condition: Callable[[], object], timeout_s: float = 10.0, what: str = "", every_s: float = 0.01
) -> None:
    """Poll until ``condition()`` is true; fail with ``what`` when it has not become so in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"not within {timeout_s} s: {what or condition}")
        time.sleep(every_s)


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_tool(*names: str) -> None:
    """Skip when a program is missing, or fail where CI promises that it is there."""
    for name in names:
        if shutil.which(name) is None:
            reason = f"needs {name}, which is not installed"
            if os.environ.get("PITWATCH_REQUIRE_TOOLS") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
