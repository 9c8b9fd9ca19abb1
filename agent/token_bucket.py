"""A token bucket: a rate on average, and a burst at once. Pure: fed the time."""

from __future__ import annotations


class TokenBucket:
    """Tokens that arrive at ``rate_per_s`` up to ``capacity``; full at first.

    ``now`` is monotonic, in seconds. A clock that steps back adds nothing. The level may fall below
    zero: how far is for the caller to decide before it spends.
    """

    def __init__(self, rate_per_s: float, capacity: float, now: float) -> None:
        self.rate_per_s = rate_per_s
        self.capacity = capacity
        self._level = capacity
        self._filled_mono = now

    def level(self, now: float) -> float:
        """Return the tokens in the bucket; negative while it is overdrawn."""
        elapsed_s = max(0.0, now - self._filled_mono)
        return min(self.capacity, self._level + self.rate_per_s * elapsed_s)

    def wait_s(self, tokens: float, now: float) -> float:
        """Return how long until the bucket holds so many; 0.0: it does now."""
        return max(0.0, (tokens - self.level(now)) / self.rate_per_s)

    def spend(self, tokens: float, now: float) -> None:
        """Take ``tokens`` out, whatever is in; a negative number gives back, up to the capacity."""
        self._level = min(self.capacity, self.level(now) - tokens)
        self._filled_mono = max(now, self._filled_mono)

    def take(self, now: float) -> bool:
        """Take one token out, or return False when there is less than one."""
        if self.level(now) < 1.0:
            return False
        self.spend(1.0, now)
        return True
