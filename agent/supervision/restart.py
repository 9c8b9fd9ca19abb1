"""When to try again: back-off with full jitter, restart budget, circuit breaker. All pure."""

from __future__ import annotations

import enum
import random
from collections import deque


class Backoff:
    """Exponential back-off with full jitter: uniform in [0, min(max_s, first_s * 2**n)].

    Full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015) spreads out clients
    that failed together; the first failure is treated like the later ones.
    """

    def __init__(self, first_s: float, max_s: float, rng: random.Random) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._rng = rng
        self.attempts = 0

    def next(self) -> float:
        """Return how many seconds to wait before the next try."""
        # The exponent is capped, so that a camera that is away for weeks overflows no float.
        ceiling = min(self._max_s, self._first_s * 2.0 ** min(self.attempts, 60))
        self.attempts += 1
        return self._rng.uniform(0.0, ceiling)

    def reset(self) -> None:
        """Start over: what was tried has worked."""
        self.attempts = 0


class RestartBudget:
    """At most ``limit`` restarts in any ``window_s`` seconds."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._spent: deque[float] = deque()

    def spend(self, now: float) -> bool:
        """Take one restart out of the budget; false (and nothing taken) when there is none left."""
        if self.left(now) == 0:
            return False
        self._spent.append(now)
        return True

    def left(self, now: float) -> int:
        """Return how many restarts the window still allows."""
        while self._spent and now - self._spent[0] >= self._window_s:
            self._spent.popleft()
        return self._limit - len(self._spent)

    def reset(self) -> None:
        """Forget what was spent."""
        self._spent.clear()


class BreakerState(enum.StrEnum):
    CLOSED = "closed"  # all is well
    OPEN = "open"  # too many failures: nothing is tried
    HALF_OPEN = "half_open"  # one trial is under way


class CircuitBreaker:
    """Stops trying after more failures than the budget allows, then lets one trial through.

    CLOSED -> OPEN when the budget is used up; OPEN -> HALF_OPEN by the first ``allow`` after
    ``cooldown_s``; HALF_OPEN -> CLOSED on success, -> OPEN on failure.
    """

    def __init__(self, budget: RestartBudget, cooldown_s: float) -> None:
        self._budget = budget
        self._cooldown_s = cooldown_s
        self._opened = 0.0
        self.state = BreakerState.CLOSED

    def allow(self, now: float) -> bool:
        """Whether to try now. After a cool-down the first caller gets the one trial."""
        if self.state is BreakerState.OPEN and now - self._opened >= self._cooldown_s:
            self.state = BreakerState.HALF_OPEN
            return True
        return self.state is BreakerState.CLOSED

    def failure(self, now: float) -> BreakerState:
        """Count a failure; return the state after it."""
        if self.state is BreakerState.HALF_OPEN or (
            self.state is BreakerState.CLOSED and not self._budget.spend(now)
        ):
            self.state = BreakerState.OPEN
            self._opened = now
        return self.state

    def success(self) -> None:
        """The trial worked (only a trial can close the breaker; in CLOSED nothing changes)."""
        if self.state is BreakerState.HALF_OPEN:
            self.state = BreakerState.CLOSED
            self._budget.reset()
