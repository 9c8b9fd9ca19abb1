"""Control charts of one side of one signal: EWMA, one-sided CUSUM, Shewhart. Pure.

All are fed normal scores, positive where the signal goes the bad way:

- EWMA ``E = (1 - w) E + w z`` with w = 0.1, for small lasting shifts; limit in units of z
- CUSUM ``S = max(0, S + z - k)`` with k = 0.5, likewise, quicker for larger ones
- Shewhart ``z`` itself, for gross faults
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

EWMA_WEIGHT = 0.1
CUSUM_K = 0.5
RECOVERED_POINTS = 5
RECOVERED_SCORE = 1.5
"""So many points in a row at ordinary scores end an alarm and start the charts anew: without it a
long fault, once mended, would stay an alarm until its sums had run down."""
MOVING = 0.5
"""Of the limit: from here on a chart counts as moving, and more explanations are asked for."""


class Chart(enum.StrEnum):
    EWMA = "ewma"
    CUSUM = "cusum"
    SHEWHART = "shewhart"


@dataclass(frozen=True, slots=True)
class Limits:
    """One-sided limits: of E and z in scores, of S in its own units."""

    ewma: float
    cusum: float
    shewhart: float

    def __post_init__(self) -> None:
        if not all(0 < each < math.inf for each in (self.ewma, self.cusum, self.shewhart)):
            raise ValueError(f"limits must be finite and above 0: {self}")


@dataclass(slots=True)
class SideCharts:
    """The three charts of one side. ``update`` once a point; NaN is no point."""

    limits: Limits
    ewma: float = 0.0
    cusum: float = 0.0
    last: float = math.nan
    points: int = 0
    beyond: bool = False
    first: Chart | None = None
    """Which chart alarmed first, while ``beyond``."""
    _ordinary: int = 0

    def update(self, score: float) -> None:
        """Take one point."""
        if math.isnan(score):
            return
        self.points += 1
        self.last = score
        # A gross fault is the Shewhart chart's: without this bound one wild minute would hold
        # the two others beyond their limits long after it, or far below them.
        bounded = max(-self.limits.shewhart, min(score, self.limits.shewhart))
        self.ewma += EWMA_WEIGHT * (bounded - self.ewma)
        self.cusum = max(0.0, self.cusum + bounded - CUSUM_K)
        self._ordinary = self._ordinary + 1 if score < RECOVERED_SCORE else 0
        values = self.values().items()
        over = next((chart for chart, (value, limit) in values if value > limit), None)
        if over is not None and not self.beyond:
            self.beyond, self.first = True, over
        elif self.beyond and self._ordinary >= RECOVERED_POINTS:
            self.reset()

    def used(self) -> float:
        """How much of its limit the most advanced chart uses: 1 alarms."""
        return max(
            self.ewma / self.limits.ewma,
            self.cusum / self.limits.cusum,
            0.0 if math.isnan(self.last) else self.last / self.limits.shewhart,
        )

    @property
    def moving(self) -> bool:
        return self.beyond or self.used() >= MOVING

    def reset(self) -> None:
        """Start anew: after an alarm has ended, or a change of variety."""
        self.ewma = self.cusum = 0.0
        self.last = math.nan
        self.beyond, self.first = False, None
        self._ordinary = 0

    def values(self) -> dict[Chart, tuple[float, float]]:
        """Value and limit of each chart."""
        return {
            Chart.EWMA: (self.ewma, self.limits.ewma),
            Chart.CUSUM: (self.cusum, self.limits.cusum),
            Chart.SHEWHART: (self.last, self.limits.shewhart),
        }
