from __future__ import annotations

import os

import numpy as np
import pytest

from agent.ablation.pool import shared_image
from agent.ablation.pool.shared_image import SharedImage, SharedImageError, SharedImageReader


def test_picture_and_aperture_arrive_as_they_were() -> None:
    rng = np.random.default_rng(1)
    slot = SharedImage("test")
    reader = SharedImageReader(slot.fd)
    for height, width in ((8, 5), (64, 48), (16, 16)):  # grows, then is smaller again
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        aperture = rng.random((height, width)) < 0.5
        got, inside = reader.read(slot.write(image, aperture))
        assert np.array_equal(got, image)
        assert inside is not None
        assert np.array_equal(inside, aperture)
        got, inside = reader.read(slot.write(image))
        assert np.array_equal(got, image)
        assert inside is None
    slot.close()


def test_what_was_read_does_not_change_with_the_next_picture() -> None:
    slot = SharedImage("test")
    reader = SharedImageReader(slot.fd)
    first, _ = reader.read(slot.write(np.full((4, 4, 3), 1, np.uint8)))
    slot.write(np.full((4, 4, 3), 2, np.uint8))
    assert (first == 1).all()
    slot.close()


def test_a_picture_above_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_image, "IMAGE_LIMIT_BYTES", 100)
    slot = SharedImage("test")
    with pytest.raises(SharedImageError, match="300 bytes; the limit is 100"):
        slot.write(np.zeros((10, 10, 3), np.uint8))
    slot.close()


def test_a_shortage_of_memory_is_an_error_and_no_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(fd: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_space)
    slot = SharedImage("test")
    with pytest.raises(SharedImageError, match="No space left"):
        slot.write(np.zeros((10, 10, 3), np.uint8))
    slot.close()


@pytest.mark.parametrize(
    ("image", "aperture"),
    [
        (np.zeros((4, 4), np.uint8), None),
        (np.zeros((4, 4, 3), np.float32), None),
        (np.zeros((0, 4, 3), np.uint8), None),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.bool_)),
    ],
)
def test_what_is_no_picture_is_refused(image: np.ndarray, aperture: np.ndarray | None) -> None:
    slot = SharedImage("test")
    with pytest.raises(SharedImageError):
        slot.write(image, aperture)
    slot.close()
