"""The line is where most of the weight lies straight, whatever lies beside it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.segmentation.line import Anchor, angle_error_deg, fit_line, fold
from tests.segmentation.drawn import bar, disc, round_aperture


def fit(mask: np.ndarray, anchor=None, weights=None):
    y, x = np.nonzero(mask)
    given_weights = np.ones(len(x)) if weights is None else weights
    return fit_line(x.astype(float), y.astype(float), given_weights, anchor=anchor)


@pytest.mark.parametrize("angle", np.arange(0.0, 180.0, 7.3))
@pytest.mark.parametrize("offset", [0, 25, -40])
def test_a_bar_gives_its_angle_within_a_third_of_a_degree(angle, offset):
    line = fit(bar(192, 192, angle, 12, offset) & round_aperture(192, 192))
    assert angle_error_deg(line.angle_deg, angle) <= 0.33
    a = math.radians(angle)
    assert line.distance(95.5 + offset * math.sin(a), 95.5 + offset * math.cos(a)) <= 0.6
    assert line.inlier_share >= 0.99
    assert line.elongation > 5


@settings(max_examples=150, deadline=None)
@given(
    angle=st.floats(0, 180, exclude_max=True),
    offset=st.floats(-45, 45),
    thick=st.floats(8, 16),
    x=st.floats(20, 170),
    y=st.floats(20, 170),
)
def test_a_blob_of_a_fifth_of_the_bars_area_does_not_turn_the_line(angle, offset, thick, x, y):
    suture = bar(192, 192, angle, thick, offset) & round_aperture(192, 192)
    radius = math.sqrt(0.2 * np.count_nonzero(suture) / math.pi)
    line = fit(suture | (disc(192, 192, x, y, radius) & round_aperture(192, 192)))
    assert angle_error_deg(line.angle_deg, angle) <= 3.0


def test_a_distant_blob_turns_it_by_almost_nothing():
    suture = bar(192, 192, 30, 12)
    line = fit(suture | disc(192, 192, 40, 40, 15))
    assert angle_error_deg(line.angle_deg, 30) <= 0.5
    assert line.inlier_share < 0.9


def test_scattered_noise_is_outvoted():
    noise = np.random.default_rng(1).random((192, 192)) < 0.02
    line = fit((bar(192, 192, 141, 12) | noise) & round_aperture(192, 192))
    assert angle_error_deg(line.angle_deg, 141) <= 0.5


def test_a_bar_in_pieces_is_one_line():
    broken = bar(192, 192, 62, 10)
    broken[60:80] = False
    broken[100:125] = False
    assert angle_error_deg(fit(broken).angle_deg, 62) <= 0.5


def test_weights_decide_between_two_bars():
    one, two = bar(192, 192, 20, 10, length_px=150), bar(192, 192, 110, 10, length_px=150)
    y, x = np.nonzero(one | two)
    for strong, angle in ((one, 20), (two, 110)):
        line = fit(one | two, weights=np.where(strong[y, x], 1.0, 0.4))
        assert angle_error_deg(line.angle_deg, angle) <= 1.0


def test_a_cross_leaves_a_large_share_outside():
    assert fit(bar(192, 192, 20, 10) | bar(192, 192, 110, 10)).inlier_share < 0.6


def test_a_disc_has_no_direction():
    line = fit(disc(192, 192, 90, 100, 30))
    assert line.elongation < 1.3


def test_a_stub_beside_an_anchor_points_at_it():
    stub = bar(192, 192, 40, 12, length_px=16)
    a = math.radians(40)
    far = Anchor(95.5 + 70 * math.cos(a), 95.5 - 70 * math.sin(a), 200.0)
    alone, anchored = fit(stub), fit(stub, anchor=far)
    assert angle_error_deg(anchored.angle_deg, 40) <= 1.0
    assert anchored.elongation > 2 * alone.elongation


def test_an_anchor_far_off_a_long_bar_has_no_say():
    suture = bar(192, 192, 75, 12) & round_aperture(192, 192)
    line = fit(suture, anchor=Anchor(20.0, 96.0, 400.0))
    assert angle_error_deg(line.angle_deg, 75) <= 0.5


def test_an_anchor_may_lie_a_little_beside_the_line():
    suture = bar(192, 192, 0, 12) & round_aperture(192, 192)
    line = fit(suture, anchor=Anchor(110.0, 100.0, 400.0))
    assert angle_error_deg(line.angle_deg, 0) <= 1.0
    assert line.distance(110.0, 100.0) > 1.0


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_points_are_no_line(count):
    assert fit_line(np.zeros(count), np.zeros(count), np.ones(count)) is None


def test_points_without_weight_are_no_line():
    assert fit_line(np.arange(9.0), np.arange(9.0), np.zeros(9)) is None


def test_a_row_of_single_points_is_a_line():
    line = fit_line(np.arange(20.0), np.full(20, 3.0), np.ones(20))
    assert line.angle_deg == pytest.approx(0.0, abs=1e-6)


def test_the_same_points_give_the_same_line():
    mask = bar(192, 192, 33, 12) | disc(192, 192, 30, 30, 20)
    assert fit(mask) == fit(mask)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 191), st.integers(0, 191), st.floats(0.01, 1.0)),
        min_size=2,
        max_size=60,
    )
)
def test_any_points_give_finite_numbers_in_their_ranges(points):
    x, y, weights = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    line = fit_line(x, y, weights)
    if line is not None:
        assert 0.0 <= line.angle_deg < 180.0
        assert 0.0 <= line.inlier_share <= 1.0 + 1e-9
        assert line.elongation >= 1.0
        assert math.isfinite(line.x + line.y)


@given(st.floats(-1e6, 1e6))
def test_a_folded_angle_is_always_below_180(angle):
    assert 0.0 <= fold(angle) < 180.0


def test_fold_and_error_know_that_an_axis_has_no_front():
    assert fold(-1e-17) == 0.0
    assert fold(180.0) == 0.0
    assert fold(-10.0) == 170.0
    assert angle_error_deg(1.0, 179.0) == 2.0
    assert angle_error_deg(0.0, 90.0) == 90.0
    assert angle_error_deg(45.0, 45.0) == 0.0
