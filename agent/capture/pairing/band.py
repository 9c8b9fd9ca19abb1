"""The offsets between triggers and their pictures: does a new one fit those before it? Pure."""

from __future__ import annotations

import math
from collections import deque

KEPT = 48
SPREAD_MAX = 0.6
"""Of the time between two pictures: offsets spread further could be of neighbours as well."""
SLACK_S = 0.025
NARROWEST = 0.09


class Band:
    """The newest ``KEPT`` offsets; at least ``proof`` of them in a row make a band.

    ``chance``: so seldom as many offsets that mean nothing (evenly anywhere between two pictures)
    would lie in a band as narrow. A narrow band is proven by few, a wide one by many; 1: by any.
    """

    def __init__(self, proof: int, chance: float = 1.0) -> None:
        self._proof, self._chance = proof, chance
        self._offsets: deque[float] = deque(maxlen=KEPT)

    def add(self, offset_s: float) -> None:
        self._offsets.append(offset_s)

    def clear(self) -> None:
        self._offsets.clear()

    def fits(self, offset_s: float, spacing_s: float | None) -> bool:
        """Whether an offset lies in the band, or as far outside as the band itself is wide.

        ``spacing_s``: between two pictures; where it is not known, nothing fits.
        """
        if len(self._offsets) < self._proof or spacing_s is None:
            return False
        low, high = min(self._offsets), max(self._offsets)
        width = (max(high, offset_s) - min(low, offset_s)) / spacing_s
        slack = max(SLACK_S, high - low)
        return (
            width <= SPREAD_MAX
            and len(self._offsets) * math.log(max(width, NARROWEST)) <= math.log(self._chance)
            and low - slack <= offset_s <= high + slack
        )
