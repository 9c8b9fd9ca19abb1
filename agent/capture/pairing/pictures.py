"""The pictures of one lane in time: which is nearest to a moment, and how near counts. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

KEPT = 256
GAPS = 32
FIRST_S = 0.1
"""Tolerance before the second picture: half of a fruit at 300 a minute."""


@dataclass(slots=True)
class Waiting:
    """A picture: ``answered`` once it was said which id it has, ``named`` where it has one."""

    seq: int
    mono: float
    deadline: float
    answered: bool = False
    named: bool = False


class Pictures:
    """The newest ``KEPT``, in the order of their capture.

    ``period_s``: the shortest time between two, where it is known from elsewhere.
    """

    def __init__(self, tolerance_s: float, period_s: float | None) -> None:
        self._limit_s, self._period_s = tolerance_s, period_s
        self._monos: list[float] = []
        self._pictures: list[Waiting] = []
        self._gaps: deque[float] = deque(maxlen=GAPS)
        self._newest: Waiting | None = None
        self.last_answered: Waiting | None = None
        self.spacing_s = period_s
        self.tolerance_s = self._tolerance()

    def add(self, picture: Waiting) -> None:
        last, self._newest = self._newest, picture
        if last is not None and picture.mono > last.mono and picture.seq > last.seq:
            self._gaps.append((picture.mono - last.mono) / (picture.seq - last.seq))
            # The faster ones: a picture that was never taken does not lengthen them.
            usual = sorted(self._gaps)[len(self._gaps) // 4]
            self.spacing_s = usual if self._period_s is None else min(usual, self._period_s)
            self.tolerance_s = self._tolerance()
        place = bisect_left(self._monos, picture.mono)
        self._monos.insert(place, picture.mono)
        self._pictures.insert(place, picture)
        if len(self._pictures) > KEPT:
            del self._monos[0], self._pictures[0]

    def find(self, seq: int) -> Waiting | None:
        return next((kept for kept in reversed(self._pictures) if kept.seq == seq), None)

    def answer(self, seq: int) -> None:
        """A picture is answered: those before it are, or will never be."""
        for kept in self._pictures:
            if kept.seq <= seq and not kept.answered:
                kept.answered = True
                if self.last_answered is None or kept.mono > self.last_answered.mono:
                    self.last_answered = kept

    @property
    def all_answered(self) -> bool:
        return all(kept.answered for kept in reversed(self._pictures))

    def nearest(self, moment: float) -> Waiting | None:
        place = bisect_left(self._monos, moment)
        around = self._pictures[max(0, place - 1) : place + 1]
        return min(around, key=lambda kept: abs(kept.mono - moment), default=None)

    def cell(self, picture: Waiting) -> tuple[float, float]:
        """From where to where (s from its capture) a moment is nearer to it than to any other, and
        within the tolerance."""
        place = bisect_left(self._monos, picture.mono)
        low, high = -self.tolerance_s, self.tolerance_s
        if place > 0:
            low = max(low, (self._monos[place - 1] - picture.mono) / 2)
        if place + 1 < len(self._monos):
            high = min(high, (self._monos[place + 1] - picture.mono) / 2)
        return low, high

    def _tolerance(self) -> float:
        spacing = self.spacing_s
        return min(self._limit_s, FIRST_S if spacing is None else spacing / 2)
