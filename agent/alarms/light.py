"""Whether cups have turned dark that were not: a lamp that fails, told from a line that is empty.

What is told apart are dark pictures, in which less than half of the view is lit:

- A fruit keeps its colour when its light is gone. The reading knows it by that, and has called
  such a picture unusable: it is DARK.
- Else this lane's own cups are the measure. A lamp dims them too, so a picture less than half as
  bright as they ever are is DARK; one that is as they are is a CUP, and were it black. A camera
  that gives up colour for want of light makes grey pictures: DARK, where cups have colour.
- Before they are known, a black picture is DARK, and a cup that has a colour to be judged by, and
  not a fruit's, is a CUP.
- What remains, of grey cameras mostly, is UNSURE. It says nothing by itself: only where a running
  machine has shown nothing else for long.

Pure: it is fed the time.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from dataclasses import dataclass
from statistics import median

from agent import config
from agent.alarms.condition import Detail
from agent.alarms.level import Level, deadband_of
from agent.alarms.text.language import Fact
from agent.alarms.windows import MeanWindow
from agent.records import NoReadReason, SegmentedFrame

LIT_COVERAGE = 0.5
"""A view of which less is lit is dark."""
LEAST_PICTURES = 50
CUPS, LEAST_CUPS = 200, 20
"""Of the newest cups, and how many are needed to know what a cup looks like here."""
DARKER, BRIGHTER = 0.5, 2.0
"""Of the darkest and the brightest usual cup. Neighbours without fruit, wear and juice change a cup
by less; a lamp that loses less than half is found by the fruit."""
EDGE = 20  # one cup in so many is darker, or brighter, than what counts as usual
BETWEEN = 8
"""So many dark pictures in a row, and then a fruit with its light, were cups with their light."""
LIT_FRUIT, GOOD_LIGHT = 25, 0.5
"""Cups are learnt while fruit are at least so bright, of the brightest run of so many of them: a
lamp that fades slowly must not teach what an empty cup is."""
COLOURED, DIM_LEVEL = 0.5, 1.0
"""Red minus blue over the grey level, from which it may be a fruit's; and the grey level below
which nothing has a colour."""


class Sight(enum.Enum):
    """What one picture says of the light."""

    LIT = enum.auto()
    CUP = enum.auto()  # a dark cup in its usual light
    DARK = enum.auto()  # the light is missing
    UNSURE = enum.auto()


@dataclass(frozen=True, slots=True)
class Darkness:
    """``level``: what is dark and ought not to be, against its limit: the share of the newest
    pictures, or the seconds for which nothing else has come. ``back``: both are within theirs."""

    level: Level
    back: bool
    detail: Detail

    @property
    def beyond(self) -> bool:
        return self.level.beyond


def shown(seen: SegmentedFrame) -> bool:
    """Whether the network was shown this picture: what is none says nothing of the light."""
    return not all(math.isnan(margin) for margin in seen.margins)


def in_the_dark(seen: SegmentedFrame) -> bool:
    """Whether this reading says nothing but that the view is dark: a fruit without light, or a cup
    that is as black."""
    unusable = seen.reading.reason is NoReadReason.IMAGE_QUALITY
    return unusable and seen.coverage < LIT_COVERAGE and shown(seen)


def _coloured(seen: SegmentedFrame) -> bool:
    return seen.warmth >= COLOURED * max(seen.brightness, DIM_LEVEL)


def _grey(seen: SegmentedFrame) -> bool:
    """Whether it has no colour at all: that of a camera that sees colour never has exactly none,
    or strong compression took it from a dark neutral one."""
    return seen.warmth == 0.0


class LightWatch:
    """Of one lane; pictures are fed in the order of capture, while the machine runs."""

    def __init__(self, limits: config.AlarmLimits) -> None:
        self.newest_mono = -math.inf
        self._limits = limits
        self._dark = MeanWindow(limits.fruit_window)
        self._cups: deque[float] = deque(maxlen=CUPS)
        self._usual: tuple[float, float] | None = None  # darkest and brightest usual cup
        self._grey_cups = False  # whether cups may be exactly grey
        self._recent: deque[SegmentedFrame] = deque(
            maxlen=BETWEEN + 1
        )  # dark, since the last fruit
        self._fruit: deque[float] = deque(maxlen=LIT_FRUIT)
        self._colours: deque[float] = deque(maxlen=LIT_FRUIT)
        self._brightest = 0.0
        self._variety: str | None = None
        self._dim: deque[float] = deque(maxlen=LIT_FRUIT)  # grey levels of the newest DARK ones
        self._unlit_since: float | None = None

    def configure(self, limits: config.AlarmLimits) -> None:
        """Judge by other limits from now on."""
        self._limits = limits
        self._dark.resize(limits.fruit_window)

    @property
    def enough(self) -> bool:
        return len(self._dark) >= min(LEAST_PICTURES, self._limits.fruit_window)

    def stand(self) -> None:
        """The machine stands: what it shows afterwards is waited for anew."""
        self._unlit_since = None

    def on_picture(self, seen: SegmentedFrame) -> None:
        """Take one picture; one that the network could not be shown says nothing of the light."""
        if not shown(seen):
            return
        self.newest_mono = seen.captured_mono
        sight = self.judge(seen)
        self._dark.add(float(sight is Sight.DARK))
        if sight in (Sight.LIT, Sight.CUP):
            self._unlit_since = None
        elif self._unlit_since is None:
            self._unlit_since = seen.captured_mono
        if sight is Sight.DARK:
            self._dim.append(seen.brightness)
        if sight is not Sight.LIT:
            if sight is not Sight.DARK or self._may_be_black(seen):
                self._recent.append(seen)
        elif seen.reading.reason not in (NoReadReason.EMPTY, NoReadReason.IMAGE_QUALITY):
            self._learn(seen)

    def judge(self, seen: SegmentedFrame) -> Sight:
        """What this picture says, by what is known so far."""
        if seen.coverage >= LIT_COVERAGE:
            return Sight.LIT
        black = seen.reading.reason is not NoReadReason.EMPTY
        if black and seen.brightness >= DIM_LEVEL and _coloured(seen):
            return Sight.DARK
        if self._usual is not None:
            low, high = self._usual
            darker = seen.brightness < DARKER * low
            brighter = _grey(seen) and seen.brightness > BRIGHTER * high
            lost = _grey(seen) and not self._grey_cups
            return Sight.DARK if darker or brighter or lost else Sight.CUP
        if black:
            return Sight.DARK
        return Sight.CUP if self._colour_tells(seen) else Sight.UNSURE

    def state(self, machine_runs: bool, now: float) -> Darkness:
        """As of ``now``; ``machine_runs``: by the machine's own word."""
        limits, samples, window = self._limits, self._dark.samples, len(self._dark)
        share = self._dark.mean
        level = Level(
            share, limits.image_quality, deadband_of(limits.image_quality), samples, window
        )
        only_s = 0.0 if self._unlit_since is None else now - self._unlit_since
        long = Level(only_s, limits.only_dark_s, 0.0, samples, window)
        if machine_runs and long.beyond and not level.beyond:
            return Darkness(long, False, Detail(Fact.ONLY_DARK, {"seconds": only_s}))
        if not self._fruit or not self._dim:
            return Darkness(level, level.back, Detail(Fact.ONLY_DARK, {"seconds": only_s}))
        values = {
            "share": share,
            "level": median(self._dim),
            "usual": self._brightest or median(self._fruit),
        }
        return Darkness(level, level.back, Detail(Fact.DARK, values))

    def _colour_tells(self, seen: SegmentedFrame) -> bool:
        """Whether this dark cup would look otherwise if it were a fruit: fruit have a colour here,
        as far as is known, and this one has another."""
        here = not self._colours or median(self._colours) >= COLOURED
        visible = not _grey(seen) and seen.brightness >= DIM_LEVEL
        return here and visible and not _coloured(seen)

    def _may_be_black(self, seen: SegmentedFrame) -> bool:
        """Whether black is how cups may be here: nothing else is known of them, and they are few. A
        lamp that flickers makes many of what were fruit."""
        return self._usual is None and not _coloured(seen) and not self._too_many

    @property
    def _too_many(self) -> bool:
        return self._dark.mean > self._limits.image_quality

    def _learn(self, fruit: SegmentedFrame) -> None:
        """A fruit with its light: the few dark cups before it had theirs."""
        if fruit.machine.variety != self._variety:  # another one may be as dark as weak light
            self._variety, self._brightest = fruit.machine.variety, 0.0
            self._fruit.clear()
            self._colours.clear()
        self._fruit.append(fruit.brightness)
        if fruit.brightness > 0.0:
            self._colours.append(fruit.warmth / fruit.brightness)
        if len(self._fruit) == LIT_FRUIT:
            self._brightest = max(self._brightest, median(self._fruit))
        few = 0 < len(self._recent) <= BETWEEN
        if few and fruit.brightness >= GOOD_LIGHT * self._brightest:
            self._cups.extend(one.brightness for one in self._recent)
            self._grey_cups = self._grey_cups or any(map(_grey, self._recent))
            if len(self._cups) >= LEAST_CUPS:
                ordered = sorted(self._cups)
                edge = len(ordered) // EDGE
                self._usual = ordered[edge], ordered[-1 - edge]
        self._recent.clear()
