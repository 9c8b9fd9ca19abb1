"""The compute budget: worker-seconds by a token bucket that may be overdrawn by a stated amount."""

from __future__ import annotations

from agent.token_bucket import TokenBucket

_FULL = 1e-9  # rounding of the refill must not keep a full bucket from counting as full


class ComputeBudget(TokenBucket):
    """Worker-seconds that explanations may use.

    An ordinary spender needs the whole cost in the bucket, a borrower may leave it at ``-debt``. A
    full bucket lets anyone start one job, however large: a cost above the capacity would otherwise
    never be affordable.

    Over any t seconds the costs spent are at most ``rate_per_s * t + capacity + max(debt, largest
    cost - capacity)``, plus what jobs took beyond the cost that they were booked at.
    """

    def __init__(self, rate_per_s: float, capacity: float, debt: float, now: float) -> None:
        super().__init__(rate_per_s, capacity, now)
        self.debt = debt

    def covers(self, cost: float, now: float, *, borrow: bool) -> bool:
        """Whether a job of this cost may start."""
        level = self.level(now)
        floor = -self.debt if borrow else 0.0
        return level - cost >= floor or level >= self.capacity - _FULL
