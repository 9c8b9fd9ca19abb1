"""What the shadow has seen: sums of comparisons, from which the report is made. Pure.

Sums and not the comparisons themselves, so that a shadow of days is as small as one of minutes and
goes on after a restart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

ANGLE_BIN_DEG = 0.5
ANGLE_BINS = 180  # differences of lines go up to 90 degrees


@dataclass(frozen=True, slots=True)
class Answer:
    """What one network said of one picture; ``angle_deg`` without a meaning where not read."""

    read: bool
    angle_deg: float


@dataclass(frozen=True, slots=True)
class Compared:
    """One picture seen by both. ``dice`` by class, NaN where neither saw the class. ``seconds`` of
    the staged one. ``sensitivity`` and ``reliance`` of its explanation, NaN without one."""

    live: Answer
    own: Answer
    dice: dict[str, float]
    seconds: float
    sensitivity: float = math.nan
    reliance: float = math.nan


class Mean(BaseModel):
    """A mean that can be added to; NaN is left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = 0
    total: float = 0.0
    least: float = 0.0

    def plus(self, value: float) -> Mean:
        if not math.isfinite(value):
            return self
        least = min(self.least, value) if self.count else value
        return Mean(count=self.count + 1, total=self.total + value, least=least)

    @property
    def value(self) -> float | None:
        return self.total / self.count if self.count else None


class Tally(BaseModel):
    """``angles``: pictures that both read, by how far the angles lie apart, in bins of half a
    degree. ``live_*``: of the live model's own explanations in that time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pictures: int = 0
    failed: int = 0
    live_read: int = 0
    own_read: int = 0
    angles: tuple[int, ...] = (0,) * ANGLE_BINS
    dice: dict[str, Mean] = {}
    seconds: Mean = Mean()
    sensitivity: Mean = Mean()
    reliance: Mean = Mean()
    live_sensitivity: Mean = Mean()
    live_reliance: Mean = Mean()

    def plus(self, one: Compared) -> Tally:
        """With one more picture."""
        angles = list(self.angles)
        if one.live.read and one.own.read:
            apart = angle_apart_deg(one.live.angle_deg, one.own.angle_deg)
            angles[min(ANGLE_BINS - 1, int(apart / ANGLE_BIN_DEG))] += 1
        dice = {**self.dice}
        for name, value in one.dice.items():
            dice[name] = dice.get(name, Mean()).plus(value)
        return self.model_copy(
            update={
                "pictures": self.pictures + 1,
                "live_read": self.live_read + one.live.read,
                "own_read": self.own_read + one.own.read,
                "angles": tuple(angles),
                "dice": dice,
                "seconds": self.seconds.plus(one.seconds),
                "sensitivity": self.sensitivity.plus(one.sensitivity),
                "reliance": self.reliance.plus(one.reliance),
            }
        )

    def plus_live(self, sensitivity: float, reliance: float) -> Tally:
        """With one more explanation of the live model."""
        return self.model_copy(
            update={
                "live_sensitivity": self.live_sensitivity.plus(sensitivity),
                "live_reliance": self.live_reliance.plus(reliance),
            }
        )

    def plus_failed(self) -> Tally:
        """With one picture of which the staged model made nothing."""
        return self.model_copy(update={"failed": self.failed + 1})

    @property
    def both_read(self) -> int:
        return sum(self.angles)

    def angle_quantile_deg(self, share: float) -> float | None:
        """Upper end of the bin below which ``share`` of the differences lie; None without any."""
        wanted, seen = math.ceil(share * self.both_read), 0
        for index, count in enumerate(self.angles):
            seen += count
            if seen and seen >= wanted:
                return (index + 1) * ANGLE_BIN_DEG
        return None

    def no_read_rates(self) -> tuple[float, float] | None:
        """Of the live model and of this one, on the same pictures; None without any."""
        if not self.pictures:
            return None
        return 1 - self.live_read / self.pictures, 1 - self.own_read / self.pictures


def angle_apart_deg(one: float, other: float) -> float:
    """Between two lines, 0 to 90."""
    apart = abs(one - other) % 180.0
    return min(apart, 180.0 - apart)


def dice_by_class(
    one: NDArray[np.uint8], other: NDArray[np.uint8], classes: tuple[str, ...]
) -> dict[str, float]:
    """Dice's coefficient 2 |A and B| / (|A| + |B|) of two (h, w) masks, background left out; NaN
    for a class that neither has."""
    found = {}
    for index, name in enumerate(classes[1:], 1):
        a, b = one == index, other == index
        size = int(a.sum()) + int(b.sum())
        found[name] = 2.0 * int((a & b).sum()) / size if size else math.nan
    return found
