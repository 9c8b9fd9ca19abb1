"""What a diagnosis goes by, and the words of what it finds. Pure."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, replace

from agent.alarms.catalogue import Cause
from agent.alarms.charts.newest import NEWEST_CUPS, Look
from agent.alarms.condition import Condition, Detail
from agent.alarms.lifecycle.suppression import Situation
from agent.alarms.signals.extract import concentration
from agent.alarms.text.language import Fact

ANGLES, LEAST_ANGLES = 100, 20
SCATTERED = 0.5
"""Length of the mean of the doubled angles' unit vectors: 1 where all answers are the same."""


class NewestAngles:
    """Whether the newest answers differ from fruit to fruit."""

    def __init__(self) -> None:
        self._angles_deg: deque[float | None] = deque(maxlen=ANGLES)

    def add(self, angle_deg: float | None) -> None:
        """Take the angle of one fruit, axial degrees; None: it was not read."""
        self._angles_deg.append(angle_deg)

    @property
    def scattered(self) -> bool:
        """Angles at random, or nearly: no constant answer. False for too few."""
        read = [one for one in self._angles_deg if one is not None]
        many = len(read)
        return many >= LEAST_ANGLES and concentration(read) < SCATTERED**2 * many


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known beside the findings. ``look``: of the newest pictures, None: not enough.
    ``scattered``: answers differ from fruit to fruit. ``explained``: explanations so far, of which
    ``enough`` more are waited for, ``window_s`` at most. ``covered``: alarms that nobody hears,
    shelved or out of service. ``charting``: charts are at work, so that there will be a look."""

    look: Look | None
    scattered: bool
    explained: int
    enough: int
    window_s: float
    covered: Collection[Cause] = ()
    charting: bool = True


class Lies(enum.Enum):
    """Where a change of the pictures lies."""

    CAMERA = enum.auto()
    FRUIT = enum.auto()
    PENDING = enum.auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Told under ``teller`` because of ``situation``, which ``look`` showed."""

    teller: Cause
    situation: Situation
    look: Look | None


def other_fruit(look: Look) -> bool:
    """Whether it may be the fruit that have changed, as far as the newest cups say."""
    return look.other_colour is not None and look.cups_as_usual is not False


def lies_with(look: Look, cups: int, early: bool) -> Lies:
    """Whether the fruit have changed or what they are seen through. ``cups``: how many have passed
    since the change; those before it say nothing, so the fruit are not blamed until all of the
    newest came after it, and not at all where they take longer than a window."""
    if not other_fruit(look):
        return Lies.CAMERA
    if cups >= NEWEST_CUPS and look.cups_as_usual:
        return Lies.FRUIT
    return Lies.PENDING if early else Lies.CAMERA


def worded(told: Condition, of: Condition, verdict: Verdict) -> Condition:
    """With the numbers and the words of what it tells of."""
    look = verdict.look
    match verdict.situation:
        case Situation.PICTURES_CHANGED if look is not None:
            return replace(
                told, value=look.value, limit=look.limit, window=look.fruit, detail=look.detail
            )
        case Situation.PICTURES_AS_USUAL:
            used = of.value / of.limit if of.limit > 0 else 0.0
            fact = Detail(Fact.UNREAD, {"share": of.value})
            return replace(told, value=used, limit=1.0, window=of.window, detail=fact)
        case Situation.OTHER_FRUIT if look is not None and look.other_colour is not None:
            fact = Detail(Fact.OTHER_FRUIT, look.other_colour.values)
            return replace(told, window=look.fruit, detail=fact)
        case Situation.READ_ELSEWHERE if is_fixed(of):
            left, limit = 1.0 - of.value, 1.0 - of.limit
            fact = Detail(Fact.READ_ELSEWHERE, {"share": left})
            return replace(told, value=left, limit=limit, window=of.window, detail=fact)
        case _:
            return told


def is_fixed(one: Condition) -> bool:
    """Whether it is the fixed limit that is crossed, and not a chart's."""
    return not (isinstance(one.detail, Detail) and one.detail.fact == Fact.SIGNAL)
