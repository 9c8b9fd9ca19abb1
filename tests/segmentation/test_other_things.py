"""The shipped model gives no angle on what is no peach, and goes on reading fruit."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent import config
from agent.models.fusing import fused
from agent.models.loading import load_model
from agent.records import NoReadReason
from agent.segmentation.segmenter import Segmenter
from agent.training.cases import simulated_cases
from tests.segmentation.drawn import frame
from tests.support.other_things import DRAWN, drawn, views

REAL = Path(__file__).parents[3] / "shared" / "data" / "peach_011.png"


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    model = fused(load_model(config.Model(), "cpu"))
    return Segmenter(model, config.Segmentation(), {}, lambda: 0.0)


def readings(segmenter: Segmenter, kind: str, count: int):
    shown = [
        frame(view, inside) for picture in drawn(kind, count) for view, inside in views(picture)
    ]
    return [one.reading for one in segmenter.segment(shown)]


def test_a_plain_orange_disc_with_a_line_is_implausible_however_sure_the_line_is(segmenter):
    for reading in readings(segmenter, "orange disc", 4):
        assert (reading.read, reading.reason) == (False, NoReadReason.IMPLAUSIBLE)
        assert reading.confidence == 0.0
        assert reading.confidence_raw >= 0.9


@pytest.mark.parametrize("kind", [name for name in DRAWN if name != "orange disc"])
def test_drawn_other_things_get_no_angle(segmenter, kind):
    for reading in readings(segmenter, kind, 2):
        assert not reading.read
        assert reading.confidence == 0.0
        assert reading.plausibility < 0.5


@pytest.mark.long
def test_fruit_are_read_as_before_and_empty_cups_stay_empty(segmenter):
    cases = list(simulated_cases(8106, 30, empty=0.2))
    seen = segmenter.segment([frame(one.sample.image, one.sample.aperture) for one in cases])
    fruit = [one.reading for case, one in zip(cases, seen, strict=True) if case.readable]
    cups = [one.reading for case, one in zip(cases, seen, strict=True) if case.empty]
    assert len(fruit) > 15
    assert len(cups) > 2
    assert sum(one.reason is NoReadReason.IMPLAUSIBLE for one in fruit) <= 1
    assert np.median([one.plausibility for one in fruit]) > 0.8
    assert not any(one.read for one in cups)
    assert sum(one.reason is NoReadReason.EMPTY for one in cups) > len(cups) / 2


def test_a_real_peach_is_plausible_in_ordinary_light_and_blur(segmenter):
    if not REAL.is_file():
        pytest.skip("needs a picture of a real peach, which is not in the repository")
    picture = cv2.imread(str(REAL), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    colour, alpha = picture[..., :3], picture[..., 3:]
    blurred = cv2.GaussianBlur(colour, (0, 0), 1.5)
    for changed in (colour, colour // 2 + colour // 4, blurred, colour[::-1]):
        turned = alpha[::-1] if changed.strides[0] < 0 else alpha
        shown = np.ascontiguousarray(np.concatenate((changed, turned), axis=2))
        (seen,) = segmenter.segment([frame(shown)])
        assert seen.reading.read
        assert seen.reading.plausibility > 0.6
