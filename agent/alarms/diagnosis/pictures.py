"""Since when the newest pictures are unusual, and whether camera or fruit changed. Pure."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from agent.alarms.charts.newest import NEWEST_CUPS, PictureCheck

UNUSUAL, USUAL = 4.0, 3.0
"""Scores from which pictures count as unusual, and below which as usual again: far below what an
alarm takes, because something else has been found already. The most unusual of nine scores, several
a second, passes 3 in every second ordinary lot and 4 in one of thirty."""
TOGETHER_S = 300.0
"""What begins later than this after something else has a cause of its own: a lamp that has been
weak for weeks must not hide a model that goes wrong today."""
BEFORE_S = 5.0
"""The newest pictures are a mean over 20 s: a finding may be a little quicker."""


class Origin(enum.Enum):
    """Where a change of the pictures comes from."""

    CAMERA = enum.auto()
    FRUIT = enum.auto()
    PENDING = enum.auto()


def other_fruit(pictures: PictureCheck) -> bool:
    """Whether the fruit may have changed, as far as the newest empty cups show."""
    return pictures.other_colour is not None and pictures.cups_as_usual is not False


@dataclass(slots=True)
class Change:
    """Unusual pictures: since when, how many empty cups had passed until then, and where the
    change comes from, once that is decided."""

    since_mono: float
    cups: int
    origin: Origin = Origin.PENDING

    def began_with(self, since_mono: float) -> bool:
        """Whether a finding of that time began together with the change."""
        later = since_mono - self.since_mono
        return -BEFORE_S <= later <= TOGETHER_S

    def decide(self, pictures: PictureCheck, early: bool) -> Origin:
        """Cups from before the change say nothing of it. So the fruit have changed only once all of
        the newest cups came after it; where that takes longer than a window (not ``early``), it is
        the camera."""
        if self.origin is Origin.PENDING:
            self.origin = self._origin(pictures, early)
        return self.origin

    def _origin(self, pictures: PictureCheck, early: bool) -> Origin:
        if not other_fruit(pictures):
            return Origin.CAMERA
        if pictures.cups - self.cups >= NEWEST_CUPS and pictures.cups_as_usual:
            return Origin.FRUIT
        return Origin.PENDING if early else Origin.CAMERA


class PictureChanges:
    """Follows the checks of one lane's pictures; ``change`` is None while they are usual."""

    def __init__(self) -> None:
        self.change: Change | None = None
        self._seen_usual = False

    def update(self, pictures: PictureCheck | None, now: float) -> None:
        """Only a change that was seen has a time: pictures that are unusual at the first check
        after a start may have been so for weeks. Without a check nothing changes."""
        if pictures is None:
            return
        if pictures.score < USUAL:
            self.change, self._seen_usual = None, True
        elif pictures.score >= UNUSUAL and self.change is None:
            self.change = Change(now if self._seen_usual else -math.inf, pictures.cups)
        elif self.change is not None and pictures.cups < self.change.cups:
            self.change.cups = pictures.cups  # of another variety's charts
