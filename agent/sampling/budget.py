"""The compute budget: a token bucket of worker-seconds that may be overdrawn by a stated amount."""

from __future__ import annotations

_FULL = 1e-9  # rounding of the refill must not keep a full bucket from counting as full


class TokenBucket:
    """Worker-seconds that explanations may use.

    ``rate`` tokens arrive per second up to ``capacity``. An ordinary spender needs the whole cost
    in the bucket, a borrower may leave it at ``-debt``. A full bucket lets anyone start one job,
    however large: a cost above the capacity would otherwise never be affordable.

    Over any t seconds the costs spent are at most ``rate * t + capacity + max(debt, largest cost -
    capacity)``, plus what jobs took beyond the cost that they were booked at.
    """

    def __init__(self, rate: float, capacity: float, debt: float, now: float) -> None:
        self.rate = rate
        self.capacity = capacity
        self.debt = debt
        self._level = capacity
        self._filled_mono = now

    def level(self, now: float) -> float:
        """Tokens in the bucket; negative while it is overdrawn."""
        elapsed = max(0.0, now - self._filled_mono)
        return min(self.capacity, self._level + self.rate * elapsed)

    def covers(self, cost: float, now: float, *, borrow: bool) -> bool:
        """Whether a job of this cost may start."""
        level = self.level(now)
        floor = -self.debt if borrow else 0.0
        return level - cost >= floor or level >= self.capacity - _FULL

    def spend(self, cost: float, now: float) -> None:
        """Take ``cost`` out, whatever is in; a negative cost gives back, up to the capacity."""
        self._level = min(self.capacity, self.level(now) - cost)
        self._filled_mono = max(now, self._filled_mono)
