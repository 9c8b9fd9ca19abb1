"""Primitives of pictures for people."""

import cv2
import numpy as np
import pytest

from agent import drawing


def test_smoothing_shows_no_more_evidence_than_any_cell_holds():
    values = np.random.default_rng(0).normal(size=(24, 24)).astype(np.float32)
    smooth = drawing.upsampled(values, (480, 480))
    assert values.min() <= smooth.min() < smooth.max() <= values.max()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_is_stronger_is_darker_from_nothing_over_usual_to_strong(sign):
    base = drawing.pale(np.full((1, 41, 3), 200, np.uint8))
    values = (sign * np.linspace(0.0, 4.0, 41, dtype=np.float32))[None]
    shown = drawing.against_usual(base, values, 1.0, 4.0)
    assert np.array_equal(shown[0, 0], base[0, 0])
    lightness = cv2.cvtColor(shown.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)[0, :, 0]
    assert (np.diff(lightness) < 0).all()
    assert lightness[0] - lightness[10] > 20, "what is usual can be told from nothing"
    assert lightness[10] - lightness[40] > 25, "and what is strong from what is usual"
    beyond = drawing.against_usual(base[:, :1], sign * np.full((1, 1), 9.0, np.float32), 1.0, 4.0)
    assert np.array_equal(beyond[0, 0], shown[0, 40])


def test_for_and_against_stay_apart_for_who_sees_no_red_or_no_green():
    """They differ along blue and yellow, which both kinds of colour blindness leave."""
    base = np.full((1, 2, 3), 224, np.uint8)
    for strength in (0.3, 1.0, 4.0):
        values = np.array([[strength, -strength]], np.float32)
        shown = drawing.against_usual(base, values, 1.0, 4.0)
        blue = cv2.cvtColor(shown.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)[0, :, 2]
        assert blue[0] - blue[1] > 35, strength


def test_words_outside_ascii_do_not_break_a_picture():
    image = drawing.canvas(40, 200)
    assert drawing.text(image, "péche µ", (4, 20)) > 0
    assert drawing.shortened("a very long layer name", 60).endswith("...")


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3), (4, 6, 4)])
def test_a_picture_in_colour_has_three_channels_whatever_it_had(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    coloured = drawing.in_colour(image)
    assert coloured.shape == (4, 6, 3)
    assert coloured.flags.c_contiguous
    assert np.array_equal(coloured[..., 1], image if image.ndim == 2 else image[..., 1])


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
def test_values_in_blocks_are_repeated_and_never_mixed(kind):
    values = np.arange(6).reshape(2, 3).astype(kind)
    shown = drawing.in_blocks(values, (8, 6))
    assert shown.dtype == kind
    assert np.array_equal(shown, np.repeat(np.repeat(values, 4, axis=0), 2, axis=1))


def test_a_sheet_has_its_pictures_in_rows_under_their_words():
    red = np.full((10, 10, 3), (0, 0, 255), np.uint8)
    image = drawing.sheet(("title",), [(red, ("name", "facts"))] * 3, side=50, columns=2)
    shown = (image == (0, 0, 255)).all(2)
    assert int(shown.sum()) == 3 * 50 * 50
    assert int(shown.any(1).sum()) == int(shown.any(0).sum()) == 2 * 50
    above = np.flatnonzero(shown.any(1))[0]
    assert (image[: above - 40] < 128).any(), "the title"
    assert (image[above - 40 : above - 2] < 128).any(), "the words of a picture"


def test_a_sheet_of_nothing_is_its_words():
    assert (drawing.sheet(("nothing to show",), [], side=50, columns=2) < 128).any()
