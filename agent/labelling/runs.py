"""Run lengths of a mask, as COCO, CVAT and Label Studio write them. Pure.

All three decoders check the size first: what a file says is never allocated unseen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
CHANNELS = 4
"""Label Studio's brush holds RGBA; the last one is the mask."""
_WORD_BITS = 8
_SIZES_BITS = (3, 4, 8, 16)
_MOST_PIXELS = 1 << 28
_HEAD_BITS = 32 + 5 + 4 * 4
_LONGEST_RUN_BITS = 1 + 2 + 16 + 32
"""Of a run of one value, as wasteful as a brush can be."""


def counts_of(flat: Mask) -> list[int]:
    """Lengths of the runs of a one-dimensional mask; the first run is of what is outside."""
    edges = np.flatnonzero(np.diff(flat.astype(np.int8), prepend=0, append=0))
    ends = np.append(edges, flat.size) if flat.size and not flat[-1] else edges
    return [int(one) for one in np.diff(ends, prepend=0)]


def mask_of(counts: Sequence[int], pixels: int) -> Mask:
    """The flat mask of run lengths. ``ValueError`` where they do not fill it exactly."""
    lengths = np.asarray(counts)
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 0).any():
        raise ValueError("run lengths that are no whole numbers")
    total = sum(int(one) for one in counts)
    if total != pixels:
        raise ValueError(f"run lengths of {total} pixels, where the picture has {pixels}")
    return np.repeat(np.arange(lengths.size) % 2 == 1, lengths)


def unpack_counts(text: str) -> list[int]:
    """The run lengths of COCO's compressed form.

    Six bits a character above "0": five of the number, lowest first, and one that says that more
    come; from the fourth number on it is the difference to the one two places before.
    ``ValueError``.
    """
    counts: list[int] = []
    number = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("a compressed mask that cannot be read")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        counts.append(number + counts[-2] if len(counts) > 2 else number)
        number = shift = 0
    if shift:
        raise ValueError("a compressed mask that ends too early")
    return counts


def pack_brush(mask: Mask) -> list[int]:
    """Label Studio's brush of a (H, W) mask: the bytes of a stream of bits.

    32 bits: how many values; 5: bits of a value, less one; four times 4: sizes in bits of lengths,
    less one. Then runs: one bit 1, two for the size, the length less one, the value.
    """
    values = mask.ravel()
    bits = [f"{values.size * CHANNELS:032b}{_WORD_BITS - 1:05b}"]
    bits += [f"{size - 1:04b}" for size in _SIZES_BITS]
    longest = 1 << _SIZES_BITS[-1]
    for place, pixels in enumerate(counts_of(mask.ravel())):
        value = "1" * _WORD_BITS if place % 2 else "0" * _WORD_BITS
        left = pixels * CHANNELS
        while left:
            length = min(left, longest)
            left -= length
            size = next(i for i, one in enumerate(_SIZES_BITS) if length <= 1 << one)
            bits.append(f"1{size:02b}{length - 1:0{_SIZES_BITS[size]}b}{value}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[at : at + 8], 2) for at in range(0, len(text), 8)]


def unpack_brush(data: object, height: int, width: int) -> Mask:
    """The (height, width) mask of a brush: where its alpha is above 0. ``ValueError``."""
    due = height * width * CHANNELS
    if not isinstance(data, list) or not all(type(one) is int and 0 <= one < 256 for one in data):
        raise ValueError("a brush that is no list of bytes")
    if due > _MOST_PIXELS * CHANNELS:
        raise ValueError(f"a brush of {due} values, more than are read")
    if len(data) > (_HEAD_BITS + due * _LONGEST_RUN_BITS) // 8 + 1:
        raise ValueError(f"a brush of {len(data)} bytes, more than its picture can need")
    count = int.from_bytes(data[:4])
    if len(data) >= 4 and count != due:
        raise ValueError(f"a brush of {count} values, where {due} are due")
    reader = _Bits("".join(f"{byte:08b}" for byte in data))
    count, word_bits = reader.number(32), reader.number(5) + 1
    sizes = [reader.number(4) + 1 for _ in range(4)]
    values = np.zeros(count, np.uint32)
    at = 0
    while at < count:
        repeated = reader.number(1)
        end = at + 1 + reader.number(sizes[reader.number(2)])
        if end > count:
            raise ValueError("a brush that is longer than its picture")
        if repeated:
            values[at:end] = reader.number(word_bits)
        else:
            values[at:end] = [reader.number(word_bits) for _ in range(end - at)]
        at = end
    return np.asarray(values.reshape(height, width, CHANNELS)[:, :, -1] > 0, np.bool_)


class _Bits:
    """Numbers out of a text of bits, the highest bit first."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def number(self, bits: int) -> int:
        end = self._at + bits
        if end > len(self._text):
            raise ValueError("a brush that ends too early")
        self._at, begin = end, self._at
        return int(self._text[begin:end], 2)
