from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from agent.segmentation.line import angle_error_deg
from agent.simulator.layout import MASK_STEM, MASK_SUTURE
from agent.training.cases import annotated_case
from agent.training.metrics import dice
from agent.training.samples import Sample
from tests.standin.look import SutureForm
from tests.standin.world import (
    HELD_OUT_LOTS,
    LEARNING_SEEDS,
    RECIPE_LOTS,
    SIDEWAYS,
    Fruit,
    StandIn,
    learning_lots,
)


@pytest.fixture(scope="module")
def seen() -> list[Fruit]:
    world = StandIn(128)
    return [world.fruit(lot, index) for lot in RECIPE_LOTS[:8] for index in range(5)]


def test_no_lot_is_of_two_kinds() -> None:
    kinds = [set(HELD_OUT_LOTS), set(RECIPE_LOTS), *(set(learning_lots(s)) for s in LEARNING_SEEDS)]
    assert all(not a & b for a, b in itertools.combinations(kinds, 2))
    with pytest.raises(ValueError, match="seed 6"):
        learning_lots(6)


def test_a_fruit_is_the_same_whatever_was_drawn_before(seen: list[Fruit]) -> None:
    again = StandIn(128).fruit(RECIPE_LOTS[1], 2)
    assert np.array_equal(again.image, seen[7].image)
    assert np.array_equal(again.mask, seen[7].mask)
    assert again.contrast == seen[7].contrast


def test_the_mask_is_the_truth_in_angle_and_stem(seen: list[Fruit]) -> None:
    for fruit in seen:
        case = fruit.case()
        measured = annotated_case(fruit.name, Sample(fruit.image, fruit.aperture, fruit.mask))
        assert angle_error_deg(measured.angle_deg, case.angle_deg) < 0.7
        stem = fruit.layout.stem
        whole = stem is not None and math.hypot(stem.x, stem.y) + stem.a < 1
        if whole:
            assert measured.stem_x_px == pytest.approx(case.stem_x_px, abs=0.5)
            assert measured.stem_y_px == pytest.approx(case.stem_y_px, abs=0.5)


def test_every_form_of_suture_comes_and_changes_the_picture_along_its_bar(
    seen: list[Fruit],
) -> None:
    assert {fruit.form for fruit in seen} == set(SutureForm)
    assert all(fruit.contrast > 0 for fruit in seen if (fruit.mask == MASK_SUTURE).any())
    readable = [fruit.case().readable for fruit in seen]
    assert any(readable)
    assert not all(readable)


def test_a_bright_suture_is_brighter_than_the_skin_beside_it_and_a_wide_one_darker(
    seen: list[Fruit],
) -> None:
    def step(fruit: Fruit) -> float:
        axis = (np.arange(128) + 0.5) / 64 - 1
        x, y = np.meshgrid(axis.astype(np.float32), axis.astype(np.float32))
        away = np.abs(fruit.layout.distance(x, y))
        inside = (x * x + y * y < 0.8) & (fruit.mask != MASK_STEM)
        grey = fruit.image.mean(2)
        beside = (away > 0.12) & (away < 0.2)
        return float(grey[(away < 0.015) & inside].mean() - grey[beside & inside].mean())

    strong = [fruit for fruit in seen if fruit.contrast > 0.06]
    bright = [step(f) for f in strong if f.form is SutureForm.BRIGHT]
    dark = [step(f) for f in strong if f.form is SutureForm.WIDE]
    assert bright
    assert dark
    assert min(bright) > 0 > max(dark)


def test_the_stem_lies_beside_the_line(seen: list[Fruit]) -> None:
    for fruit in seen:
        stem = fruit.layout.stem
        if stem is not None:
            away = fruit.layout.distance(*(np.array([v], np.float32) for v in (stem.x, stem.y)))
            assert SIDEWAYS[0] - 1e-6 <= abs(float(away[0])) <= SIDEWAYS[1] + 1e-6


def test_a_drawn_label_is_near_the_truth_and_not_the_truth(seen: list[Fruit]) -> None:
    world = StandIn(128)
    labels = [world.label(fruit, 1) for fruit in seen]
    both = [
        dice(label == MASK_SUTURE, fruit.mask == MASK_SUTURE)
        for label, fruit in zip(labels, seen, strict=True)
    ]
    assert 0.7 < float(np.nanmean(both)) < 0.97
    assert np.array_equal(labels[0], world.label(seen[0], 1))
    assert not np.array_equal(labels[0], world.label(seen[0], 2))
