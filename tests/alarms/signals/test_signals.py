"""The table of signals, and what is read from fruit and explanations."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from agent.alarms.signals.extract import concentration, cosine, ndcg, of_explanation, of_fruit
from agent.alarms.signals.signals import (
    BY_NAME,
    SIGNALS,
    Per,
    Signal,
    describe_signals,
    natural,
    transformed,
)
from tests.alarms.support import explanation, fruit

ALL = pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)


@ALL
def test_a_signal_comes_back_from_its_transform(signal: Signal) -> None:
    low, high = max(signal.low, -50.0), min(signal.high, 50.0)
    for share in (0.2, 0.5, 0.8):
        value = low + share * (high - low)
        assert natural(signal, transformed(signal, value)) == pytest.approx(value, rel=1e-6)


@ALL
def test_the_edges_of_its_range_are_finite_and_what_is_no_number_stays_none(
    signal: Signal,
) -> None:
    assert math.isfinite(transformed(signal, signal.low))
    assert math.isfinite(transformed(signal, signal.high))
    for nothing in (math.nan, math.inf, -math.inf):
        assert math.isnan(transformed(signal, nothing))


def test_every_signal_is_read_from_what_it_is_of() -> None:
    per_fruit = {s.name for s in SIGNALS if s.per is Per.FRUIT}
    per_explanation = {s.name for s in SIGNALS if s.per is Per.EXPLANATION}
    assert set(of_fruit(fruit(1.0))) == per_fruit
    assert set(of_explanation(explanation(1.0), None)) == per_explanation


def test_meta_describes_every_signal_with_unit_range_and_alarm() -> None:
    described = describe_signals()
    assert set(described) == set(BY_NAME)
    one = described["reliance_input"]
    assert one == {
        "unit": "ratio", "type": "float", "low": 0.0, "high": 1.0,
        "per": "explanation", "bad": "high", "alarm": "background_reliance",
    }  # fmt: skip


def test_a_fruit_without_a_suture_has_no_margin_shape_or_confidence() -> None:
    reading = fruit(1.0, read=False)
    seen = replace(reading.segmentation, margins=(1.0, math.nan, math.nan), areas=(1.0, 0.0, 0.0))
    values = of_fruit(replace(reading, segmentation=seen))
    assert values["no_read"] == 1.0
    for name in ("confidence", "suture_margin", "suture_area", "stem_area", "elongation"):
        assert math.isnan(values[name]), name


def test_the_elongation_of_a_bar_is_its_length_over_its_width() -> None:
    reading = fruit(1.0)
    mask = np.zeros((60, 60), np.uint8)
    mask[28:32, 10:50] = 1
    values = of_fruit(replace(reading, segmentation=replace(reading.segmentation, mask=mask)))
    assert values["elongation"] == pytest.approx(10.0, rel=0.05)


def test_a_black_picture_has_no_focus_and_no_colour() -> None:
    reading = fruit(1.0)
    dark = replace(reading.segmentation, brightness=0.0, focus=0.0, warmth=0.0)
    values = of_fruit(replace(reading, segmentation=dark))
    assert values["brightness"] == 0.0
    assert math.isnan(values["focus"])
    assert math.isnan(values["warmth"])


# --- angles: only doubled ones mean anything ------------------------------------------------------


def test_angles_on_both_sides_of_zero_are_alike() -> None:
    assert concentration([1.0, 179.0] * 50) == pytest.approx(100.0, rel=0.01)


def test_angles_without_a_preference_have_a_concentration_of_one() -> None:
    rng = np.random.default_rng(2)
    found = [concentration(rng.uniform(0, 180, 50).tolist()) for _ in range(400)]
    assert np.mean(found) == pytest.approx(1.0, abs=0.15)
    assert math.isnan(concentration([]))


def test_opposite_doubled_angles_cancel() -> None:
    assert concentration([30.0, 120.0] * 10) == pytest.approx(0.0, abs=1e-9)


# --- explanations against the reference profile ---------------------------------------------------


def test_likeness_to_the_profile() -> None:
    profile = np.array([4.0, 2.0, 1.0, 0.0])
    assert cosine(3 * profile, profile) == pytest.approx(1.0)
    assert cosine(-profile, profile) == pytest.approx(-1.0)
    assert ndcg(profile * 0.5, profile) == pytest.approx(1.0)
    # reversed: gains 0 1 2 4 discounted by log2(2..5), over those of 4 2 1 0
    discount = 1 / np.log2([2, 3, 4, 5])
    worst = float(np.array([0, 1, 2, 4]) @ discount / (np.array([4, 2, 1, 0]) @ discount))
    assert ndcg(np.array([0.1, 0.2, 0.3, 0.4]), profile) == pytest.approx(worst)


@pytest.mark.parametrize("deltas", [np.zeros(4), np.ones(3), np.zeros(0)])
def test_no_effect_or_another_number_of_channels_has_no_likeness(deltas: np.ndarray) -> None:
    profile = np.array([4.0, 2.0, 1.0, 0.0])
    assert math.isnan(cosine(deltas, profile))
    assert math.isnan(ndcg(deltas, profile))
    assert math.isnan(cosine(np.ones(4), None))


def test_a_class_that_cannot_be_explained_has_no_signal() -> None:
    values = of_explanation(explanation(1.0, explainable=False), np.ones(4))
    assert all(math.isnan(value) for value in values.values())


def test_an_explanation_of_another_class_has_no_signals_of_the_suture() -> None:
    one = explanation(1.0)
    stem = replace(one.classes[0], class_name="stem")
    assert of_explanation(replace(one, classes=(stem,)), None) == {}
