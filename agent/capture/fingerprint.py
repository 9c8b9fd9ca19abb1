"""A few bytes of every picture, by which the parent tells whether two pictures are the same."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID = 32
DIGEST_ROWS = 256
BLANK_GREY_LEVELS = 8
"""Range of the samples below which there is no scene: the noise of a dark sensor alone."""
TAG_BYTES = 4 + GRID * GRID


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """``digest`` of the pixels, and ``grid``: (GRID * GRID,) uint8 grey samples."""

    digest: int
    grid: NDArray[np.uint8]

    @property
    def blank(self) -> bool:
        """Whether the picture shows nothing: a dark lamp, a covered lens, a saturated sensor."""
        return int(self.grid.max()) - int(self.grid.min()) < BLANK_GREY_LEVELS

    def difference(self, other: Fingerprint) -> float:
        """Mean absolute difference of the grids, in grey levels."""
        return float(np.abs(self.grid.astype(np.int16) - other.grid).mean())


def fingerprint(image: NDArray[np.uint8]) -> bytes:
    """Return the tag of an (H, W, 3) picture.

    The digest covers every row of a picture of up to DIGEST_ROWS rows and an even choice of a
    larger one (0.2 ms for 256x256, 2 ms for 1920x1080): a sensor's noise repeats in neither. The
    grid takes single pixels and no means, because means would take the noise away, by which a
    standing scene before a live sensor differs from a dead picture.
    """
    height, width = image.shape[:2]
    step = -(-height // DIGEST_ROWS)
    digest = zlib.crc32(np.ascontiguousarray(image[::step]).data)
    rows = (np.arange(GRID) * height + height // 2) // GRID
    columns = (np.arange(GRID) * width + width // 2) // GRID
    samples = image[rows[:, None], columns[None, :]].astype(np.uint16)
    grid = (samples.sum(axis=2) // samples.shape[2]).astype(np.uint8)
    return b"".join((struct.pack("<I", digest), grid.tobytes()))


def read_tag(tag: bytes) -> Fingerprint | None:
    """Return the fingerprint in a tag, or None when it holds none."""
    if len(tag) != TAG_BYTES:
        return None
    return Fingerprint(struct.unpack_from("<I", tag)[0], np.frombuffer(tag, np.uint8, offset=4))
