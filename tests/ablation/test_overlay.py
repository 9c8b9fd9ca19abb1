"""The picture of one explanation: its size, its colours, its range."""

from dataclasses import replace

import cv2
import numpy as np

from agent import drawing
from agent.ablation import overlay
from agent.ablation.overlay import ColourRange, blended, colour_range, render_overlay
from agent.ablation.result import not_explainable
from tests.ablation.networks import picture


def found(values):
    return replace(
        not_explainable("suture", ""), explainable=True, map=np.asarray(values, np.float32)
    )


def decoded(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_the_overlay_is_a_jpeg_of_at_most_60_kb_with_the_size_it_says():
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)
    for image in (noise, picture(64)):
        made = render_overlay(image, found(np.eye(6)), 1.0, np.ones((4, 4), bool))
        assert len(made.data) <= 60_000
        assert made.content_type == "image/jpeg"
        assert decoded(made.data).shape[:2] == (made.height_px, made.width_px)
        assert made.value_range == 1.0


def test_what_does_not_fit_is_made_smaller_not_refused(monkeypatch):
    monkeypatch.setattr(overlay, "LIMIT_BYTES", 9_000)
    noise = np.random.default_rng(0).integers(0, 256, (480, 480, 3), np.uint8)
    made = render_overlay(noise, found(np.eye(6)), 1.0)
    assert 0 < len(made.data) <= 9_000
    assert made.width_px < overlay.SIDE_PX


def test_evidence_for_is_warm_and_against_is_cool():
    values = np.zeros((8, 8), np.float32)
    values[:, :4], values[:, 4:] = 1.0, -1.0
    grey = np.full((80, 80, 3), 128, np.uint8)
    shown = blended(grey, values, 1.0).astype(int)
    assert shown[40, 10, 2] - shown[40, 10, 0] > 80  # red over blue
    assert shown[40, 70, 0] - shown[40, 70, 2] > 80


def test_nothing_is_drawn_where_the_map_is_zero():
    shown = blended(picture(64), np.zeros((8, 8), np.float32), 1.0)
    assert np.array_equal(shown, drawing.muted(picture(64)))


def test_one_range_for_all_pictures_keeps_a_weak_map_weak():
    grey, weak = np.full((64, 64, 3), 128, np.uint8), np.full((8, 8), 0.01, np.float32)
    base = drawing.muted(grey).astype(int)
    assert np.abs(blended(grey, weak, 1.0) - base).max() < 10
    assert np.abs(blended(grey, weak, 0.01) - base).max() > 50


def test_values_beyond_the_range_are_drawn_at_full_colour_not_wrapped():
    grey = np.full((64, 64, 3), 128, np.uint8)
    full = blended(grey, np.full((8, 8), 1.0, np.float32), 1.0)
    assert np.array_equal(full, blended(grey, np.full((8, 8), 50.0, np.float32), 1.0))


def test_the_range_is_the_configured_one_then_the_references_then_the_pictures_own():
    one = found([[0.0, -3.0]])
    assert colour_range(one, 5.0, {"suture": 7.0}) == ColourRange(5.0, fixed=True)
    assert colour_range(one, None, {"suture": 7.0}) == ColourRange(7.0, fixed=True)
    assert colour_range(one, None, {"stem": 7.0}) == ColourRange(3.0, fixed=False)
    assert colour_range(found([[0.0]]), None, None) == ColourRange(1.0, fixed=False)


def test_a_class_that_cannot_be_explained_is_shown_with_its_reason():
    made = render_overlay(picture(64), not_explainable("stem", "not explainable: no stem"), 1.0)
    assert decoded(made.data).shape[0] > overlay.SIDE_PX
