"""Pixel formats -> BGR, of pictures whose colours are known."""

from __future__ import annotations

import numpy as np
import pytest

from agent.capture.source import PictureError
from agent.capture.sources.genicam.backend import Buffer
from agent.capture.sources.genicam.formats import FORMATS, canonical
from agent.capture.sources.genicam.pixels import to_bgr

ORANGE = (20, 120, 220)
"""Blue, green, red."""


def given(name: str, pixels: np.ndarray, width: int, height: int, stride: int = 0) -> Buffer:
    data = np.ascontiguousarray(pixels).view(np.uint8).ravel()
    return Buffer(data, width, height, stride or data.size // height, name)


@pytest.mark.parametrize(
    ("name", "order"), [("RGB8", (2, 1, 0)), ("BGR8", (0, 1, 2)),
                        ("RGBa8", (2, 1, 0, -1)), ("BGRa8", (0, 1, 2, -1)),
                        ("RGB8Packed", (2, 1, 0))],
)  # fmt: skip
def test_colours_come_in_the_order_of_opencv(name: str, order: tuple[int, ...]) -> None:
    pixel = [255 if place < 0 else ORANGE[place] for place in order]
    image = to_bgr(given(name, np.full((6, 8, len(order)), pixel, np.uint8), 8, 6))
    assert image.shape == (6, 8, 3)
    assert (image == ORANGE).all()


@pytest.mark.parametrize("name", ["BayerRG8", "BayerGR8", "BayerGB8", "BayerBG8"])
def test_a_mosaic_begins_with_the_colours_of_its_name(name: str) -> None:
    """A sensor before an orange wall: each pixel sees one colour, and the picture is orange."""
    blue, green, red = ORANGE
    first, second = name[5], name[6]
    level = {"R": red, "G": green, "B": blue}
    other = {"R": "B", "B": "R", "G": "G"}
    rows = [level[first], level[second]], [level[other[second]], level[other[first]]]
    mosaic = np.tile(np.array(rows, np.uint8), (8, 8))
    inner = to_bgr(given(name, mosaic, 16, 16))[2:-2, 2:-2]
    assert (inner == ORANGE).all()


def test_deeper_greys_lose_their_lowest_bits_and_never_wrap_around() -> None:
    ten = np.array([[0, 4, 1023, 0xFFFF]], "<u2")
    assert to_bgr(given("Mono10", ten, 4, 1))[0, :, 0].tolist() == [0, 1, 255, 255]
    twelve = np.array([[0, 16, 4095, 0x1FFF]], "<u2")
    assert to_bgr(given("Mono12", twelve, 4, 1))[0, :, 2].tolist() == [0, 1, 255, 255]


def test_padding_at_the_end_of_lines_is_no_picture() -> None:
    padded = np.zeros((3, 8), np.uint8)
    padded[:, :5] = np.arange(15).reshape(3, 5)
    image = to_bgr(given("Mono8", padded, 5, 3, stride=8))
    assert image[..., 1].tolist() == np.arange(15).reshape(3, 5).tolist()
    assert image.flags.c_contiguous


def test_a_buffer_with_fewer_bytes_than_its_picture_is_incomplete() -> None:
    with pytest.raises(PictureError, match="15 bytes where 4 x 4 of Mono8 has 16") as caught:
        to_bgr(Buffer(np.zeros(15, np.uint8), 4, 4, 4, "Mono8"))
    assert caught.value.reason == "incomplete"
    with pytest.raises(PictureError):
        to_bgr(Buffer(np.zeros(0, np.uint8), 0, 0, 0, "Mono8"))


def test_a_format_that_is_none_of_them_is_refused_with_those_that_are() -> None:
    with pytest.raises(PictureError, match="YUV422_8 is none of Mono8, Mono10"):
        to_bgr(Buffer(np.zeros(16, np.uint8), 4, 2, 8, "YUV422_8"))


def test_a_picture_does_not_change_when_its_buffer_is_used_again() -> None:
    for name, known in FORMATS.items():
        values = np.full((4, 4, known.channels), 9, np.uint8 if known.bits == 8 else "<u2")
        buffer = given(canonical(name), values, 4, 4)
        image = to_bgr(buffer)
        before = image.copy()
        buffer.data[:] = 200
        assert (image == before).all() or name == "BGR8", name
