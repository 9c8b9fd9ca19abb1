"""How much one address may ask: a token bucket for each, over a bounded number of addresses."""

from __future__ import annotations

from collections import OrderedDict

ADDRESSES_MAX = 1024
GUESSES_PER_S, GUESSES = 0.2, 10.0
"""Wrong tokens: ten, then one in five seconds; meanwhile the right one is not heard either."""


class Buckets:
    """Pure: fed the time (monotonic seconds). An address that is not known has a full bucket."""

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, at

    def left(self, address: str, now: float) -> float:
        """Return what the bucket of ``address`` holds."""
        tokens, at = self._left.get(address, (self._burst, now))
        return min(self._burst, tokens + (now - at) * self._rate_per_s)

    def take(self, address: str, now: float) -> bool:
        """Take one, or return False when there is less than one."""
        tokens = self.left(address, now)
        allowed = tokens >= 1.0
        self._left[address] = (tokens - 1.0 if allowed else tokens, now)
        self._left.move_to_end(address)
        if len(self._left) > ADDRESSES_MAX:
            self._left.popitem(last=False)  # the one that has asked least lately
        return allowed
