"""Every picture becomes the network's input by the declared rules, or is refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import Preprocessing
from agent.models.pictures import PictureError, fit, resize, standard, to_tensor

CPU = torch.device("cpu")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_grey_pictures_are_repeated_over_three_channels():
    grey = noise(20, 30)
    for image in (grey, grey[..., None]):
        picture, inside = standard(image)
        assert picture.shape == (20, 30, 3)
        assert all(np.array_equal(picture[..., c], grey) for c in range(3))
        assert inside is None


def test_alpha_is_the_aperture_and_is_taken_off():
    image = noise(20, 30, 4)
    picture, inside = standard(image)
    assert np.array_equal(picture, image[..., :3])
    assert np.array_equal(inside, image[..., 3] >= 128)


def test_a_given_aperture_and_alpha_are_both_respected():
    image, given_aperture = noise(20, 30, 4), noise(20, 30) > 99
    _, inside = standard(image, given_aperture)
    assert np.array_equal(inside, (image[..., 3] >= 128) & given_aperture)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (noise(20, 30, 2), r"found \(20, 30, 2\)"),
        (noise(20, 30, 5), r"found \(20, 30, 5\)"),
        (noise(20), r"found \(20,\)"),
        (noise(2, 20, 30, 3), "found"),
        (noise(4, 30, 3), "at least 8 px"),
        (noise(0, 30, 3), "at least 8 px"),
        (noise(20, 30, 3).astype(np.uint16), "must be uint8, found uint16"),
        (noise(20, 30, 3) / 255.0, "must be uint8, found float64"),
        (None, "must be uint8, found NoneType"),
    ],
)
def test_anything_else_is_refused_and_named(image, says):
    with pytest.raises(PictureError, match=says):
        standard(image)


def test_an_aperture_of_another_size_is_refused():
    with pytest.raises(PictureError, match="does not fit"):
        standard(noise(20, 30, 3), np.ones((30, 20), bool))


def test_outside_the_aperture_nothing_reaches_the_network():
    inside = np.zeros((64, 64), bool)
    inside[16:48, 16:48] = True
    a, b = noise(64, 64, 3), noise(64, 64, 3).copy()
    b[~inside] = 255 - b[~inside]
    settings = Preprocessing(width_px=32, height_px=32)
    assert np.array_equal(fit(a, inside, settings), fit(b, inside, settings))


def test_shrinking_averages_and_growing_interpolates():
    image = noise(64, 64, 3)
    blocks = image.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(resize(image, 16, 16) - blocks).max() <= 0.5
    grown = cv2.resize(image, (128, 96), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(resize(image, 128, 96), grown)
    assert resize(image, 64, 64) is image


def test_an_axis_that_shrinks_is_averaged_while_the_other_grows():
    image = np.repeat(noise(64, 1, 3), 16, axis=1)  # rows of one colour, 16 wide
    mixed = resize(image, 40, 32)
    assert mixed.shape == (32, 40, 3)
    rows = image[:, 0].reshape(32, 2, 3).mean(axis=1)
    assert np.abs(mixed - rows[:, None]).max() <= 0.5


def test_values_are_scaled_and_centred_channel_by_channel_in_the_declared_order():
    image = noise(32, 16, 3)
    settings = Preprocessing(
        width_px=16, height_px=32, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), scale=1 / 255
    )
    out = to_tensor([image], settings, CPU)
    assert out.shape == (1, 3, 32, 16)
    expected = (image[..., ::-1].transpose(2, 0, 1) / 255 - [[[0.1]], [[0.2]], [[0.3]]]) / [
        [[0.5]],
        [[0.6]],
        [[0.7]],
    ]
    assert np.allclose(out[0].numpy(), expected, atol=1e-6)
    bgr = to_tensor([image], settings.model_copy(update={"colour": "bgr"}), CPU)
    assert torch.allclose(bgr[0, 0] * 0.5 + 0.1, torch.from_numpy(image[..., 0] / 255).float())


def test_grey_networks_get_one_channel():
    image = noise(16, 16, 3)
    out = to_tensor([image], Preprocessing(width_px=16, height_px=16, colour="gray"), CPU)
    assert out.shape == (1, 1, 16, 16)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    assert torch.allclose(out[0, 0], torch.from_numpy(grey / 255).float())


@settings(max_examples=50, deadline=None)
@given(
    height=st.integers(8, 300),
    width=st.integers(8, 300),
    shape=st.sampled_from([(), (1,), (3,), (4,)]),
    aperture=st.booleans(),
)
def test_pictures_of_any_size_fit_the_network(height, width, shape, aperture):
    image = np.full((height, width, *shape), 200, np.uint8)
    inside = np.ones((height, width), bool) if aperture else None
    picture, found = standard(image, inside)
    fitted = fit(picture, found, Preprocessing(width_px=48, height_px=32))
    assert fitted.shape == (32, 48, 3)
    assert np.all(fitted == 200)
