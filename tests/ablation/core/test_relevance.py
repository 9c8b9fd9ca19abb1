"""Where the relevance of a map lies, on pictures small enough to work out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.ablation.core.relevance import class_shares, relevance_mass

CLASSES = ("background", "suture", "stem")


def mask_with(*cells: tuple[slice, slice, int]) -> np.ndarray:
    mask = np.zeros((8, 8), np.uint8)
    for rows, columns, value in cells:
        mask[rows, columns] = value
    return mask


def test_relevance_is_shared_out_by_the_area_of_the_classes_in_a_cell() -> None:
    mask = mask_with((slice(0, 4), slice(0, 2), 1), (slice(4, 8), slice(0, 4), 2))
    shares = class_shares(mask, np.ones((8, 8), bool), CLASSES, (2, 2))
    signed = np.array([[4.0, 1.0], [2.0, -5.0]], np.float32)
    mass = relevance_mass(signed, shares)
    # of 7 positive: half of the first cell is suture, the third is stem, the rest lies elsewhere
    assert mass == pytest.approx({"suture": 2 / 7, "stem": 2 / 7, "elsewhere": 3 / 7})


def test_what_lies_outside_the_aperture_counts_nowhere() -> None:
    aperture = np.zeros((8, 8), bool)
    aperture[:, :4] = True
    shares = class_shares(mask_with((slice(0, 8), slice(0, 8), 1)), aperture, CLASSES, (2, 2))
    mass = relevance_mass(np.array([[1.0, 9.0], [0.0, 9.0]], np.float32), shares)
    assert mass == pytest.approx({"suture": 1.0, "stem": 0.0, "elsewhere": 0.0})


def test_a_map_with_nothing_for_the_class_has_no_shares() -> None:
    shares = class_shares(mask_with(), np.ones((8, 8), bool), CLASSES, (2, 2))
    mass = relevance_mass(-np.ones((2, 2), np.float32), shares)
    assert set(mass) == {"suture", "stem", "elsewhere"}
    assert all(math.isnan(value) for value in mass.values())
