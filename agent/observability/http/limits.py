"""How many requests an address may send: a token bucket each, for a bounded number of them."""

from __future__ import annotations

from collections import OrderedDict

from agent.token_bucket import TokenBucket

ADDRESSES_MAX = 1024
GUESSES_PER_S, GUESSES = 0.2, 10.0
"""Wrong tokens that are answered as such: ten, then one in five seconds. Right ones always are."""


class AddressBuckets:
    """Pure: fed the time (monotonic seconds). An address that is not known has a full bucket."""

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, address: str, now: float) -> bool:
        """Take one, or return False when there is less than one."""
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = TokenBucket(self._rate_per_s, self._burst, now)
        self._buckets.move_to_end(address)
        if len(self._buckets) > ADDRESSES_MAX:
            self._buckets.popitem(last=False)  # the one whose last request is oldest
        return bucket.take(now)
