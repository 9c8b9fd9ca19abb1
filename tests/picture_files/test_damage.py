"""Damaged files: what is noticed, and that nothing is seen in files that are whole.

JPEG has no check sum. Damage that leaves a valid stream of the right length cannot be noticed by
its decoder, so a share is asked for, over seeded damage to many pictures.
"""

from __future__ import annotations

import random

import cv2
import numpy as np
import pytest

from agent.picture_files.decode import decode
from agent.picture_files.errors import PictureError
from agent.picture_files.jpeg import decode_jpeg
from agent.simulator.render import Renderer
from tests.picture_files.damage import DAMAGES, WRITERS, is_corrupt, is_visible
from tests.picture_files.support import encode, pillow, tiff


@pytest.fixture(scope="module")
def fruit() -> list[np.ndarray]:
    renderer = Renderer(256)
    return [renderer.fruit(seed).image for seed in range(4)]


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("1 bit flipped", 0.2),
        ("8 bits flipped", 0.7),
        ("16 bytes zero", 0.5),
        ("400 bytes zero", 0.9),
        ("1 to 512 bytes missing", 0.6),
        ("cut short", 1.0),
        ("cut short and closed", 0.9),
    ],
)
def test_damage_in_a_jpeg_is_noticed(fruit: list[np.ndarray], name: str, share: float) -> None:
    rng = random.Random(7)
    noticed = []
    for write in WRITERS.values():
        for image in fruit:
            whole = write(image)
            for _ in range(3):
                damaged = DAMAGES[name](whole, rng)
                if is_visible(damaged, whole):
                    noticed.append(is_corrupt(damaged))
    assert len(noticed) > 10
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
        data = WRITERS[writer](image)
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
