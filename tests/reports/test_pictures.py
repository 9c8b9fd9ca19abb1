"""What people get to see: overlay, figure, masks read back from drawings."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from agent import drawing
from agent.ablation import overlay
from agent.ablation.core.errors import AblationError
from agent.ablation.overlay import ColourRange, blended, colour_range, render_overlay
from agent.ablation.result import not_explainable
from agent.reports import masks
from tests.ablation.networks import bar_and_disc, picture


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


def test_smoothing_shows_no_more_evidence_than_any_cell_holds():
    values = np.random.default_rng(0).normal(size=(24, 24)).astype(np.float32)
    smooth = drawing.upsampled(values, (480, 480))
    assert values.min() <= smooth.min() < smooth.max() <= values.max()


def test_the_range_is_the_configured_one_then_the_references_then_the_pictures_own():
    one = found([[0.0, -3.0]])
    assert colour_range(one, 5.0, {"suture": 7.0}) == ColourRange(5.0, fixed=True)
    assert colour_range(one, None, {"suture": 7.0}) == ColourRange(7.0, fixed=True)
    assert colour_range(one, None, {"stem": 7.0}) == ColourRange(3.0, fixed=False)
    assert colour_range(found([[0.0]]), None, None) == ColourRange(1.0, fixed=False)


def test_a_class_that_cannot_be_explained_is_shown_with_its_reason():
    made = render_overlay(picture(64), not_explainable("stem", "not explainable: no stem"), 1.0)
    assert decoded(made.data).shape[0] > overlay.SIDE_PX


def test_words_outside_ascii_do_not_break_a_picture():
    image = drawing.canvas(40, 200)
    assert drawing.text(image, "péche µ", (4, 20)) > 0
    assert drawing.shortened("a very long layer name", 60).endswith("...")


# --- masks that people drew ----------------------------------------------------------------------


def drawn(indices, blur=True):
    """An anti-aliased colour mask as people draw it: white bar, green stem, BGRA."""
    colours = np.zeros((*indices.shape, 3), np.float32)
    colours[indices == 1] = 255
    colours[indices == 2] = (20, 220, 76)
    if blur:
        colours = cv2.GaussianBlur(colours, (0, 0), 0.7)
    alpha = np.full((*indices.shape, 1), 255, np.float32)
    return np.dstack((colours, alpha)).astype(np.uint8)


def test_an_anti_aliased_mask_is_read_by_thresholds():
    truth = cv2.resize(bar_and_disc(64), (256, 256), interpolation=cv2.INTER_NEAREST)
    read = masks.decode(drawn(truth))
    assert (read != truth).mean() < 0.01
    assert set(np.unique(read)) == {0, 1, 2}
    assert np.array_equal(masks.decode(drawn(truth, blur=False)), truth)


def test_transparent_is_background_and_a_single_channel_holds_indices():
    truth = bar_and_disc(64)
    picture_ = drawn(truth, blur=False)
    picture_[..., 3] = 0
    assert not masks.decode(picture_).any()
    assert np.array_equal(masks.decode(truth), truth)


def test_dice_to_a_mask_skips_classes_that_the_mask_has_not():
    prediction, truth = np.array([[0, 1, 1, 2]], np.uint8), np.array([[0, 1, 0, 0]], np.uint8)
    found_ = masks.dices(prediction, truth, ("background", "suture", "stem"))
    assert found_["background"] == pytest.approx(2 / 4)
    assert found_["suture"] == pytest.approx(2 / 3)
    assert np.isnan(found_["stem"])
    assert found_["mean"] == pytest.approx((2 / 4 + 2 / 3) / 2)


def test_a_file_that_is_no_picture_is_named(tmp_path):
    path = tmp_path / "x.png"
    for content in (b"", b"not a picture"):
        path.write_bytes(content)
        with pytest.raises(AblationError, match=r"x\.png: no picture"):
            masks.read_picture(path)
    with pytest.raises(AblationError, match="cannot be read"):
        masks.read_picture(tmp_path / "missing.png")
    cv2.imwrite(str(path), np.zeros((9, 9), np.uint16))
    with pytest.raises(AblationError, match="8 bits"):
        masks.read_picture(path)
