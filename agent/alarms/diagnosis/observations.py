"""What a diagnosis goes by, beside the findings themselves. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from agent.alarms.catalogue import Cause
from agent.alarms.charts.newest import PictureCheck
from agent.alarms.condition import Condition, Detail
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
class Observations:
    """``pictures``: the check of the newest pictures, None for too few. ``scattered``: answers
    differ from fruit to fruit. ``explained``: explanations so far, of which ``enough`` more are
    waited for, ``window_s`` at most. ``unavailable``: alarms that are shelved or out of service.
    ``charting``: charts are running, so that there will be a check of the pictures."""

    pictures: PictureCheck | None
    scattered: bool
    explained: int
    enough: int
    window_s: float
    unavailable: Collection[Cause] = ()
    charting: bool = True


def is_fixed(one: Condition) -> bool:
    """Whether it is the fixed limit that is crossed, and not a chart's."""
    return not (isinstance(one.detail, Detail) and one.detail.fact == Fact.SIGNAL)
