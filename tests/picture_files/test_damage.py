"""Damaged files: what is noticed, and that nothing is seen in files that are whole.

JPEG has no check sum. Damage that leaves a valid stream of the right length cannot be noticed by
its decoder, so a share is asked for, over seeded damage to many pictures.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from agent.picture_files.decode import decode
from agent.picture_files.errors import PictureError
from agent.picture_files.jpeg import decode_jpeg
from agent.simulator.render import Renderer
from tests.picture_files.support import encode, pillow, tiff

WRITERS: dict[str, tuple[int, ...]] = {
    "baseline": (cv2.IMWRITE_JPEG_QUALITY, 90),
    "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restart markers": (cv2.IMWRITE_JPEG_RST_INTERVAL, 8),
    "own Huffman tables": (cv2.IMWRITE_JPEG_OPTIMIZE, 1),
}


@pytest.fixture(scope="module")
def fruit() -> list[np.ndarray]:
    renderer = Renderer(256)
    return [renderer.fruit(seed).image for seed in range(4)]


def pixels_begin(data: bytes) -> int:
    place = data.find(b"\xff\xda")
    return place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")


def zeros(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(pixels_begin(data), len(data) - 402)
    return data[:place] + bytes(400) + data[place + 400 :]


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(pixels_begin(data), len(data) - 2)]


def cut_and_closed(data: bytes, rng: random.Random) -> bytes:
    return cut(data, rng) + b"\xff\xd9"


def flipped(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(8):
        out[rng.randrange(pixels_begin(data), len(data) - 2)] ^= 1 << rng.randrange(8)
    return bytes(out)


def is_corrupt(data: bytes) -> bool:
    try:
        decode(data)
    except PictureError as error:
        return error.reason == "corrupt"
    return False


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    ("damage", "share"), [(zeros, 0.9), (cut, 1.0), (cut_and_closed, 0.9), (flipped, 0.4)]
)
def test_damage_in_a_jpeg_is_noticed(
    fruit: list[np.ndarray],
    writer: str,
    damage: Callable[[bytes, random.Random], bytes],
    share: float,
) -> None:
    rng = random.Random(7)
    noticed = [
        is_corrupt(damage(encode(".jpg", image, *WRITERS[writer]), rng))
        for image in fruit
        for _ in range(8)
    ]
    assert sum(noticed) >= share * len(noticed)


def test_zeros_in_the_middle_of_a_jpeg_are_no_reading(fruit: list[np.ndarray]) -> None:
    for image in fruit:
        data = encode(".jpg", image)
        half = len(data) // 2
        with pytest.raises(PictureError, match="corrupt"):
            decode(data[:half] + bytes(400) + data[half + 400 :])


@pytest.mark.parametrize("writer", WRITERS)
def test_a_whole_jpeg_is_read_as_opencv_reads_it(fruit: list[np.ndarray], writer: str) -> None:
    for image in fruit:
        data = encode(".jpg", image, *WRITERS[writer])
        plain = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(decode_jpeg(data), plain)


def test_what_may_stand_beside_the_pixels_of_a_jpeg_is_no_damage(fruit: list[np.ndarray]) -> None:
    image = fruit[0]
    data = encode(".jpg", image)
    small = encode(".jpg", cv2.resize(image, (64, 64)))
    thumbnail = b"\xff\xe1" + (8 + len(small)).to_bytes(2, "big") + b"Exif\0\0" + small
    whole = {
        "zeros behind the end": data + bytes(100),
        "text behind the end": data + b"camera 7" * 9,
        "a second picture behind the end": data + small,
        "a thumbnail": data[:2] + thumbnail + data[2:],
        "bytes that fill up before a marker": data[:2] + b"\xff\xff" + data[2:],
        "grey": encode(".jpg", image[:, :, 0]),
        "odd sizes": encode(".jpg", image[:173, :251]),
        "no subsampling": pillow(image, "JPEG", subsampling=0),
        "orientation": pillow(image, "JPEG", orientation=6),
        "one pixel": encode(".jpg", image[:1, :1]),
    }
    assert [name for name, each in whole.items() if is_corrupt(each)] == []


def test_a_jpeg_that_announces_an_absurd_size_is_corrupt(fruit: list[np.ndarray]) -> None:
    data = bytearray(encode(".jpg", fruit[0]))
    place = data.find(b"\xff\xc0")
    data[place + 5 : place + 9] = b"\xff\x00\xff\x00"
    with pytest.raises(PictureError, match="corrupt: announces 65280 x 65280 pixels"):
        decode(bytes(data))


def test_every_byte_of_a_png_is_under_a_check_sum(fruit: list[np.ndarray]) -> None:
    data, rng = encode(".png", fruit[0]), random.Random(3)
    for place in [rng.randrange(8, len(data) - 12) for _ in range(60)]:
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randrange(8)
        assert is_corrupt(bytes(damaged)), place
    assert not is_corrupt(data + b"behind the end")


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate"])
def test_a_damaged_strip_of_a_tiff_is_noticed(fruit: list[np.ndarray], compression: str) -> None:
    data, rng = pillow(fruit[0], "TIFF", compression=compression), random.Random(5)
    noticed = 0
    for _ in range(20):
        place = rng.randrange(500, len(data) - 1000)
        noticed += is_corrupt(data[:place] + rng.randbytes(64) + data[place + 64 :])
    assert noticed >= 14  # the rest leave valid codes


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_tiff_cut_behind_its_directory_is_noticed(
    fruit: list[np.ndarray], bits: int, share: float
) -> None:
    grey = fruit[0][:, :, 1].astype(np.uint8 if bits == 8 else np.uint16)
    data = tiff(grey, photometric=1)
    assert not is_corrupt(data)
    with pytest.raises(PictureError, match="corrupt"):
        decode(data[: int(share * len(data))])


def test_a_webp_that_lacks_a_byte_is_cut_short(fruit: list[np.ndarray]) -> None:
    data = pillow(fruit[0], "WEBP")
    with pytest.raises(PictureError, match="corrupt: the file is cut short"):
        decode(data[:-1])
