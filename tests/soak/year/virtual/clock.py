"""The clocks of a process, all of them made: for a process that does nothing else.

Modules that wait for threads took the true clock when they were imported, and keep it.
"""

from __future__ import annotations

import queue  # noqa: F401 - it keeps the true clock
import threading  # noqa: F401 - it keeps the true clock
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

TRUE_MONO = time.monotonic


class MadeClock:
    """``now``: monotonic seconds; ``utc_s``: Unix time. A step moves the second alone."""

    def __init__(self, utc_s: float, now: float = 1000.0) -> None:
        self.now = now
        self._utc_offset_s = utc_s - now
        self.synchronised = 1.0

    @property
    def utc_s(self) -> float:
        return self.now + self._utc_offset_s

    def advance(self, seconds: float) -> None:
        """Let time pass on both."""
        self.now += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock."""
        self._utc_offset_s += seconds

    @contextmanager
    def ruling(self) -> Iterator[None]:
        """This process goes by these clocks. Before anything of the agent is imported, which
        takes some of them as defaults."""
        made = {
            "monotonic": lambda: self.now,
            "monotonic_ns": lambda: int(self.now * 1e9),
            "time": lambda: self.utc_s,
            "time_ns": lambda: int(self.utc_s * 1e9),
            "clock_gettime": lambda _which: self.now,
            "sleep": lambda _seconds: None,
        }
        before = {name: getattr(time, name) for name in made}
        for name, value in made.items():
            setattr(time, name, value)
        try:
            yield
        finally:
            for name, true in before.items():
                setattr(time, name, true)


def true_clock() -> SimpleNamespace:
    """Stands in for the module ``time`` where a real disk is waited for."""
    return SimpleNamespace(monotonic=TRUE_MONO, time_ns=time.time_ns)
