"""Which pictures show the same fruit in the same place. Pure.

The perceptual hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions"
(2010), with more bits: all fruit in a cup look alike in the few lowest frequencies.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Hash = NDArray[np.uint8]
SIDE = 16
"""Frequencies each way, so a hash has the square of it in bits."""
GRID = 64
SAME_BITS = 40
"""Pictures whose hashes differ in no more bits are near-duplicates; measured in the README."""


def picture_hash(picture: NDArray[np.uint8]) -> Hash:
    """(32,) uint8: 256 bits of a (H, W, 3) BGR picture, which frequencies are above the median."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (GRID, GRID), interpolation=cv2.INTER_AREA)
    frequencies = cv2.dct(small.astype(np.float32))[:SIDE, :SIDE].ravel()
    return np.packbits(frequencies > np.median(frequencies[1:]))


class Seen:
    """The hashes of the pictures that were taken."""

    def __init__(self, same_bits: int = SAME_BITS) -> None:
        self._hashes: list[Hash] = []
        self._same_bits = same_bits

    def takes(self, found: Hash) -> bool:
        """Whether no picture taken before is near; then it counts as taken."""
        if self._hashes:
            different = np.unpackbits(np.stack(self._hashes) ^ found, axis=1).sum(axis=1)
            if int(different.min()) <= self._same_bits:
                return False
        self._hashes.append(found)
        return True
