from __future__ import annotations

import math

import numpy as np
import pytest

from agent.training.metrics import (
    calibration_error,
    dice,
    iou,
    mean_dice,
    mean_of,
    quantile_of,
    share_of,
)


def test_dice_and_iou_of_masks_worked_out_by_hand() -> None:
    predicted = np.array([[1, 1, 0, 0]], bool)
    wanted = np.array([[0, 1, 1, 1]], bool)
    assert dice(predicted, wanted) == pytest.approx(2 * 1 / (2 + 3))
    assert iou(predicted, wanted) == pytest.approx(1 / 4)


def test_both_empty_is_not_counted_and_one_empty_is_zero() -> None:
    nothing, something = np.zeros((2, 2), bool), np.ones((2, 2), bool)
    assert math.isnan(dice(nothing, nothing))
    assert math.isnan(iou(nothing, nothing))
    assert dice(something, nothing) == 0.0
    assert dice(nothing, something) == 0.0


def test_mean_dice_leaves_out_classes_that_the_target_does_not_have() -> None:
    predicted = np.array([[0, 0, 1, 2]], np.uint8)
    wanted = np.array([[0, 1, 1, 1]], np.uint8)
    background, suture = 2 * 1 / (2 + 1), 2 * 1 / (1 + 3)
    assert mean_dice(predicted, wanted, 3) == pytest.approx((background + suture) / 2)
    assert mean_dice(wanted, wanted, 3) == pytest.approx(1.0)


def test_means_and_quantiles_pass_over_what_is_not_a_number() -> None:
    assert mean_of([1.0, math.nan, 3.0]) == 2.0
    assert quantile_of([math.nan, 5.0, 1.0, 3.0], 0.5) == 3.0
    assert math.isnan(mean_of([math.nan]))
    assert math.isnan(quantile_of([], 0.5))
    assert share_of([True, False, False, False]) == 0.25
    assert math.isnan(share_of([]))


def test_calibration_error_is_zero_for_honest_confidence_and_the_gap_for_boasting() -> None:
    hits = [True] * 9 + [False]
    assert calibration_error([0.9] * 10, hits) == pytest.approx(0.0)
    assert calibration_error([0.9] * 10, [True] * 4 + [False] * 6) == pytest.approx(0.5)
