"""The newest pictures against the reference: quicker and coarser than a chart. Pure.

It raises nothing by itself. A diagnosis goes by it: does the camera show other pictures, are
there other fruit before an unchanged camera, or neither?
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np

from agent.alarms.catalogue import Cause
from agent.alarms.charts.reference import CupReference, Reference
from agent.alarms.condition import Detail
from agent.alarms.signals.signals import BY_NAME, Per, natural
from agent.alarms.text.language import signal_detail

NEWEST_FRUIT, LEAST_FRUIT = 100, 50
"""20 s of one machine, and how many of them a signal needs to be judged."""
NEWEST_CUPS = 5
CUPS_S = 300.0
"""An older empty cup says nothing of the light of now."""
CUP_SPREADS = 3.0
"""The median of five cups lies within so many spreads of a single one: 1 in 1,000 does not."""
OTHER_COLOUR = 5.0
"""Of ordinary lots no colour scores so much; a blemish of the lens or a noisy cable may score 4."""


@dataclass(frozen=True, slots=True)
class PictureCheck:
    """``score``: the most unusual signal's distance from what is usual, as a positive normal score.
    ``detail``: which signal; ``value``: its mean; ``limit``: the near end of what is usual;
    ``fruit``: of how many.

    ``other_colour``: the fruit's colour, where it has changed and nothing seen on the fruit
    attributes that to the camera; None otherwise. ``cups_as_usual``: whether the newest empty cups
    have their usual colour; None for too few. ``cups``: how many have passed so far.
    """

    score: float
    detail: Detail
    fruit: int
    value: float = 0.0
    limit: float = 0.0
    other_colour: Detail | None = None
    cups_as_usual: bool | None = None
    cups: int = 0


class NewestPictures:
    """Signals of the pictures of the newest fruit, and the colour of the newest empty cups."""

    def __init__(self, reference: Reference) -> None:
        self._cups_reference: CupReference | None = reference.cups
        self._seen = {
            one.name: one
            for one in reference.signals
            if BY_NAME[one.name].cause is Cause.IMAGE_QUALITY and BY_NAME[one.name].per is Per.FRUIT
        }
        self._fruit = np.full((NEWEST_FRUIT, len(self._seen)), np.nan)
        self._next = 0
        self._checked: PictureCheck | None = None
        self._fresh = True  # whether _checked is of what was taken last
        self._cups_so_far = 0
        self._cups: deque[tuple[float, float]] = deque(maxlen=NEWEST_CUPS)  # when, and the colour

    def on_fruit(self, values: Mapping[str, float]) -> None:
        """Take one fruit's signals, on the charts' scale."""
        self._fruit[self._next] = [values.get(name, math.nan) for name in self._seen]
        self._next = (self._next + 1) % NEWEST_FRUIT
        self._fresh = False

    def on_cup(self, chromaticity: float, now: float) -> None:
        """Take the colour of one empty cup."""
        if math.isfinite(chromaticity):
            self._cups.append((now, chromaticity))
            self._cups_so_far += 1
            self._fresh = False

    def forget(self) -> None:
        """Start anew: what was seen is not what comes now."""
        self._fruit.fill(np.nan)
        self._cups.clear()
        self._fresh = False

    def check(self, now: float) -> PictureCheck | None:
        """The newest pictures against the reference; None for too few."""
        if self._cups and now - self._cups[0][0] > CUPS_S:
            self._cups.popleft()
            self._fresh = False
        if not self._fresh:
            self._checked, self._fresh = self._made(), True
        return self._checked

    def _made(self) -> PictureCheck | None:
        means = self._means()
        scored = [
            (side.sign * self._seen[name].score(mean, count), name, side.sign)
            for name, (mean, count) in means.items()
            for side in self._seen[name].sides
        ]
        if not scored:
            return None
        score, name, sign = max(scored)
        mean, count = means[name]
        low, high = self._seen[name].usual
        return PictureCheck(
            score=score,
            detail=self._detail(name, mean),
            value=natural(BY_NAME[name], mean),
            limit=high if sign > 0 else low,
            fruit=count,
            other_colour=self._other_colour(means),
            cups_as_usual=self._cups_as_usual(),
            cups=self._cups_so_far,
        )

    def _means(self) -> dict[str, tuple[float, int]]:
        defined = np.isfinite(self._fruit)
        counts = defined.sum(axis=0).tolist()
        sums = np.where(defined, self._fruit, 0.0).sum(axis=0).tolist()
        return {
            name: (total / count, count)
            for name, total, count in zip(self._seen, sums, counts, strict=True)
            if count >= LEAST_FRUIT
        }

    def _detail(self, name: str, mean: float) -> Detail:
        value = natural(BY_NAME[name], mean)
        return signal_detail(name, value, self._seen[name].usual)

    def _other_colour(self, means: Mapping[str, tuple[float, int]]) -> Detail | None:
        """A gross change of the fruit's colour that the fruit's own pictures do not attribute to
        the camera.

        A lamp that fades, a lens out of focus, a camera that moved scale red and blue alike, and
        leave chromaticity alone. What does change it besides the fruit is seen elsewhere: a cast of
        the light colours the empty cups too; too much light clips red first, and brightens; a veil
        or a smear softens more than it darkens; noise and dirt sharpen; swapped channels make the
        fruit bluer than red, which no peach is.
        """
        needed = ("chromaticity", "brightness", "focus")
        if any(name not in means for name in needed):
            return None
        colour, brightness, focus = (means[name][0] for name in needed)
        usual = {name: self._seen[name].usual for name in needed}
        level, sharpness = (
            natural(BY_NAME["brightness"], brightness),
            natural(BY_NAME["focus"], focus),
        )
        darker = min(1.0, level / max(1.0, usual["brightness"][0]))
        gross = abs(self._seen["chromaticity"].score(*means["chromaticity"])) >= OTHER_COLOUR
        explained = (
            colour <= 0.0
            or level > usual["brightness"][1]
            or sharpness > usual["focus"][1]
            or sharpness < darker * usual["focus"][0]
        )
        return self._detail("chromaticity", colour) if gross and not explained else None

    def _cups_as_usual(self) -> bool | None:
        usual = self._cups_reference
        if usual is None or len(self._cups) < NEWEST_CUPS:
            return None
        colour = median(colour for _, colour in self._cups)
        return abs(colour - usual.median) <= CUP_SPREADS * usual.spread
