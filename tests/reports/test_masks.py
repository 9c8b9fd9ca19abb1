"""Masks read back from drawings."""

import cv2
import numpy as np
import pytest

from agent.ablation.core.errors import AblationError
from agent.reports import masks
from tests.ablation.networks import bar_and_disc


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
        with pytest.raises(AblationError, match=r"x\.png: the file (is empty|cannot be decoded)"):
            masks.read_drawn(path)
    with pytest.raises(AblationError, match=r"missing\.png: cannot be read: No such file"):
        masks.read_drawn(tmp_path / "missing.png")
    cv2.imwrite(str(path), np.zeros((9, 9), np.uint16))
    with pytest.raises(AblationError, match="8 bits"):
        masks.read_drawn(path)
