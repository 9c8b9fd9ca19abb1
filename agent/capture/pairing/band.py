"""The offsets between triggers and their pictures: does a new one fit those before it? Pure."""

from __future__ import annotations

from collections import deque

KEPT = 32
SPREAD_MAX = 0.6
"""Of the time between two pictures: offsets spread further could be of neighbours as well."""
SLACK_S = 0.025


class Band:
    """The newest ``KEPT`` offsets; ``proof`` of them in a row make a band."""

    def __init__(self, proof: int) -> None:
        self._proof = proof
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
        width = max(high, offset_s) - min(low, offset_s)
        slack = max(SLACK_S, high - low)
        return width <= SPREAD_MAX * spacing_s and low - slack <= offset_s <= high + slack
