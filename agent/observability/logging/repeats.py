"""Limits repeats of one log event: the first few in a window are written, the rest are counted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

KEYS_MAX = 1000


@dataclass(slots=True)
class _Window:
    began: float
    admitted: int
    repeats: int


class RepeatLimiter:
    """Pure: fed the time, keeps at most ``KEYS_MAX`` windows, the oldest ending first."""

    def __init__(self, window_s: float, limit: int) -> None:
        self._window_s = window_s
        self._limit = limit
        self._windows: OrderedDict[Hashable, _Window] = OrderedDict()  # by begin, oldest first

    def admit(self, key: Hashable, now: float) -> bool:
        """Return whether this event is written; call ``ended`` first, or counts may be lost."""
        window = self._windows.get(key)
        if window is None or now - window.began >= self._window_s:
            self._windows.pop(key, None)
            self._windows[key] = _Window(began=now, admitted=1, repeats=0)
            return True
        if window.admitted < self._limit:
            window.admitted += 1
            return True
        window.repeats += 1
        return False

    def ended(self, now: float) -> list[tuple[Hashable, int]]:
        """Return and forget the windows that have ended or overflow: (key, repeats > 0).

        At infinity, the end of the program, all have.
        """
        counts = []
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if now - window.began < self._window_s and len(self._windows) <= KEYS_MAX:
                break
            del self._windows[key]
            if window.repeats:
                counts.append((key, window.repeats))
        return counts
