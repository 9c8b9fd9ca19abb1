"""A steady beat for sources that could be read at any speed."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 1.0
"""Longest wait within one read: a slow source still shows that it is not stuck."""


class Pacer:
    """Says when the next picture is due: every 1/fps s from the first, without drift.

    After a delay of more than one period (a slow disk, a stopped process) the beat starts anew:
    pictures are not handed out in a burst, which no camera would do.
    """

    def __init__(
        self,
        fps: float,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._period_s = 1.0 / fps
        self._now = now
        self._sleep = sleep
        self._due: float | None = None

    def wait(self) -> bool:
        """Wait for the next picture's moment; false when patience ended before it."""
        now = self._now()
        if self._due is None:
            self._due = now
        if self._due - now > PATIENCE_S:
            self._sleep(PATIENCE_S)
            return False
        if self._due > now:
            self._sleep(self._due - now)
        late = now - self._due > self._period_s
        self._due = (now if late else self._due) + self._period_s
        return True
