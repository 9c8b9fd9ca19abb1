"""A number against a fixed limit."""

from __future__ import annotations

from dataclasses import dataclass

from agent.records import Quality

DEADBAND = 0.05
DEADBAND_SHARE = 0.5  # of the limit, where that is less


@dataclass(frozen=True, slots=True)
class Level:
    """A number against its limit. ``low`` is true where too little is what is wrong."""

    value: float
    limit: float
    deadband: float
    samples: int
    window: int
    low: bool = False

    @property
    def beyond(self) -> bool:
        return self.value < self.limit if self.low else self.value > self.limit

    @property
    def back(self) -> bool:
        if self.low:
            return self.value >= self.limit + self.deadband
        return self.value <= self.limit - self.deadband


@dataclass(frozen=True, slots=True)
class Judged:
    """A level and how well it is known: only what is GOOD can raise or clear an alarm."""

    level: Level
    quality: Quality


def deadband_of(limit: float) -> float:
    """By how much a share must be back within its limit before an alarm clears."""
    return min(DEADBAND, DEADBAND_SHARE * limit)
