"""How fast old messages may follow each other. Pure."""

from __future__ import annotations


class Pace:
    """Lets ``per_s`` pass a second, and no more than ``burst`` at once."""

    def __init__(self, per_s: float, burst: int = 1) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._left = float(burst)
        self._at = float("-inf")

    def wait_s(self, now: float) -> float:
        """Return how long to wait before the next may pass; 0.0: now."""
        if now > self._at:
            grown = (now - self._at) * self._per_s
            self._left, self._at = min(self._burst, self._left + grown), now
        return 0.0 if self._left >= 1 else (1 - self._left) / self._per_s

    def spend(self) -> None:
        """Let one pass."""
        self._left -= 1
