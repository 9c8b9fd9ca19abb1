"""How fast old messages may follow each other. Pure."""

from __future__ import annotations

from agent.token_bucket import TokenBucket


class Pace:
    """Lets ``per_s`` pass a second, and no more than ``burst`` at once."""

    def __init__(self, per_s: float, burst: int = 1) -> None:
        self._bucket = TokenBucket(per_s, float(burst), float("-inf"))
        self._asked_mono = float("-inf")

    def wait_s(self, now: float) -> float:
        """Return how long to wait before the next may pass; 0.0: now."""
        self._asked_mono = max(now, self._asked_mono)  # a clock that steps back opens nothing
        return self._bucket.wait_s(1.0, self._asked_mono)

    def spend(self) -> None:
        """Let one pass, at the time of the last ``wait_s``."""
        self._bucket.spend(1.0, self._asked_mono)
