"""The least plausibility that a line's own fruit ask for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent import config
from agent.commissioning.plausible import DISTANCE_MARGIN, LEAST_READ, least_plausible
from agent.commissioning.samples import FruitSample
from agent.models.plausibility import plausibility_of

SETTINGS = config.Segmentation()


def line(distances: np.ndarray, read: bool = True) -> list[FruitSample]:
    """Fruit at so many times the card's limit."""
    return [
        FruitSample("1", float(i), {"plausibility": float(one)}, 10.0 if read else None)
        for i, one in enumerate(plausibility_of(distances, 1.0))
    ]


def test_the_line_asks_for_its_own_rarest_fruit_and_a_tenth_of_distance_more() -> None:
    distances = np.linspace(0.5, 0.8, 10_001)
    found = least_plausible(line(distances), SETTINGS)
    assert found is not None
    farthest = float(np.quantile(distances, 0.999)) * DISTANCE_MARGIN
    assert found == pytest.approx(float(plausibility_of(np.array([farthest]), 1.0)[0]), abs=1e-3)


def test_a_line_that_differs_as_much_as_the_card_allows_narrows_nothing() -> None:
    assert least_plausible(line(np.linspace(0.5, 0.99, 10_001)), SETTINGS) is None
    strict = config.Segmentation(min_plausibility=0.95)
    assert least_plausible(line(np.linspace(0.5, 0.8, 10_001)), strict) is None


def test_fruit_that_were_not_read_and_unknown_ones_count_for_nothing() -> None:
    good = line(np.full(LEAST_READ, 0.6))
    unread = line(np.full(500, 3.0), read=False)
    unknown = [FruitSample("1", 0.0, {"plausibility": math.nan}, 10.0)] * 500
    assert least_plausible([*good, *unread, *unknown], SETTINGS) == least_plausible(good, SETTINGS)
    assert least_plausible(good[1:], SETTINGS) is None, "too few to know"
    assert least_plausible(unknown, SETTINGS) is None


def test_fruit_that_could_not_be_more_plausible_ask_for_a_number() -> None:
    found = least_plausible(line(np.zeros(LEAST_READ)), SETTINGS)
    assert found is not None
    assert 0.5 < found < 1.0
