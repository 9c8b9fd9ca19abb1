"""Masks of class indices that belong to another picture or model."""

import numpy as np
import pytest

from agent.ablation.core.case import load_case
from agent.ablation.core.errors import AblationError
from tests.ablation.networks import OneByOne, loaded, picture, seeded


@pytest.fixture(scope="module")
def model():
    return loaded(seeded(OneByOne()), "relu")


def test_a_class_that_the_model_does_not_have_is_refused(model):
    mask = np.zeros((16, 16), np.uint8)
    mask[3, 3] = 9
    with pytest.raises(
        AblationError, match="holds class 9, but test has 3 classes: background, suture, stem"
    ):
        load_case(model, picture(16), None, mask)


def test_a_mask_of_another_size_is_refused_and_one_of_the_picture_is_brought_to_the_grid(model):
    image = np.kron(picture(16), np.ones((2, 2, 1), np.uint8))
    with pytest.raises(AblationError, match=r"is 20 x 8 pixels, the picture 32 x 32, .* 16 x 16"):
        load_case(model, image, None, np.ones((8, 20), np.uint8))
    for side in (16, 32):
        mask = np.zeros((side, side), np.uint8)
        mask[: side // 2] = 1
        focus = load_case(model, image, None, mask).focus
        assert focus.pixels(1, np.zeros((16, 16), np.bool_), (32, 32)).sum() == 128


@pytest.mark.parametrize(
    "mask", [np.zeros((16, 16)), np.zeros((16, 16), np.int64), np.zeros((16, 16, 1), np.uint8)]
)
def test_a_mask_of_another_kind_is_refused(model, mask):
    with pytest.raises(AblationError, match=r"must be \(h, w\) uint8 class indices"):
        load_case(model, picture(16), None, mask)
