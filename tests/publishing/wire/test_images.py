"""Pictures made to fit the wire."""

from __future__ import annotations

import cv2
import numpy as np

from agent.publishing.wire.images import fit
from tests.publishing import examples


def test_a_picture_within_the_limit_passes_untouched() -> None:
    overlay = examples.overlay()
    image = fit(overlay, 100_000)
    assert image is not None
    assert image.data is overlay.data
    assert (image.content_type, image.width_px) == ("image/png", 64)


def test_a_larger_one_keeps_its_size_in_pixels_while_quality_alone_suffices() -> None:
    image = fit(examples.overlay(side_px=256, noise=True), 100_000)
    assert image is not None
    assert len(image.data) <= 100_000
    assert (image.width_px, image.height_px) == (256, 256)


def test_one_that_quality_cannot_save_gets_smaller_and_says_its_true_size() -> None:
    image = fit(examples.overlay(side_px=256, noise=True), 8_000)
    assert image is not None
    assert len(image.data) <= 8_000
    decoded = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape[:2] == (image.height_px, image.width_px)
    assert image.width_px < 256


def test_nothing_fits_a_limit_below_any_useful_picture() -> None:
    assert fit(examples.overlay(side_px=256, noise=True), 100) is None
