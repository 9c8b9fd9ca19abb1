"""Quantiles and rates over the last minute, for people who look now; Prometheus has the history.

Both are pure (they are fed the time) and bounded: a window keeps at most ``capacity`` samples, so
that at a high rate it covers less than ``window_s`` rather than more memory.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from agent.observability.view import Percentiles

WINDOW_S = 60.0
CAPACITY = 1024


def quantile(ordered: Sequence[float], q: float) -> float:
    """Return the ``q`` quantile (nearest rank) of ascending values; NaN when there are none.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


class WindowQuantiles:
    """The newest samples of one duration.

    One thread may add while another reads: both are single operations on a deque.
    """

    def __init__(self, window_s: float = WINDOW_S, capacity: int = CAPACITY) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, float]] = deque(maxlen=capacity)

    def add(self, value: float, now: float) -> None:
        """Keep one finite value; beyond the capacity the oldest goes."""
        self._samples.append((now, value))

    def snapshot(self, now: float) -> Percentiles:
        """Return p50, p95 and p99 of the samples that are not older than the window."""
        oldest = now - self._window_s
        ordered = sorted(value for at, value in list(self._samples) if at >= oldest)
        return Percentiles(
            p50_s=quantile(ordered, 0.50),
            p95_s=quantile(ordered, 0.95),
            p99_s=quantile(ordered, 0.99),
            count=len(ordered),
            window_s=self._window_s,
        )


class WindowRate:
    """Events per second over the last minute, in one-second bins."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._bins: deque[tuple[int, float]] = deque(maxlen=math.ceil(window_s) + 1)
        self._first: float | None = None

    def add(self, amount: float, now: float) -> None:
        """Count ``amount`` events at ``now``; the time must not run backwards."""
        if self._first is None:
            self._first = now
        second = int(now)
        if self._bins and self._bins[-1][0] == second:
            amount += self._bins.pop()[1]
        self._bins.append((second, amount))

    def per_second(self, now: float) -> float:
        """Return the mean rate since the window or the first event began; NaN before any event.

        Within the first five seconds the rate is unknown rather than a wild guess.
        """
        if self._first is None or now - self._first < 5.0:
            return math.nan
        covered = min(self._window_s, now - self._first)
        oldest = now - covered
        return sum(amount for second, amount in list(self._bins) if second >= oldest - 1) / covered
