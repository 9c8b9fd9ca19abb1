"""What the line's own fruit say of the plausibility that a picture must have to be read."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from agent import config
from agent.commissioning.samples import FruitSample
from agent.models.plausibility import STEEPNESS

RARE_FRUIT = 0.001
LEAST_READ = 2000
"""Fruit that were read, so that ``RARE_FRUIT`` of them is more than the worst of a handful."""
DISTANCE_MARGIN = 1.1
"""Tomorrow's lots differ more than those of the commissioning."""
EDGE = 1e-3


def least_plausible(fruit: Sequence[FruitSample], settings: config.Segmentation) -> float | None:
    """The plausibility of which ``RARE_FRUIT`` of the fruit that were read had less, moved outwards
    by ``DISTANCE_MARGIN`` on the scale of distances.

    None for too few fruit to know it, and where it is no more than the configuration asks for: a
    line's reference narrows what counts as fruit, and never widens it.
    """
    read = [one.values["plausibility"] for one in fruit if one.angle_deg is not None]
    known = np.array([one for one in read if math.isfinite(one)], np.float64)
    if len(known) < LEAST_READ:
        return None
    rare = min(max(float(np.quantile(known, RARE_FRUIT)), EDGE), 1.0 - EDGE)
    # p = 1 / (1 + r^s): its odds are r^-s, so a distance that is larger by a factor divides them.
    odds = rare / (1.0 - rare) / DISTANCE_MARGIN**STEEPNESS
    found = round(odds / (1.0 + odds), 4)
    return found if found > settings.min_plausibility else None
