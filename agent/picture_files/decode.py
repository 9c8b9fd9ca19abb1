"""A picture file's bytes -> BGR and the field of view."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.picture_files.errors import PictureError
from agent.picture_files.header import is_jpeg, is_tiff, read_header
from agent.picture_files.jpeg import decode_jpeg
from agent.picture_files.listing import printable
from agent.picture_files.tiff import BLACK_IS_ZERO, RGB, WHITE_IS_ZERO, TiffFacts, read_tiff

FILE_LIMIT_BYTES = 256 * 1024 * 1024
OPAQUE = 128
FULL_BITS = 16


@dataclass(frozen=True, slots=True)
class Raw:
    """Pixels as the file has them, the right way up: (H, W) or (H, W, C), uint8 or uint16, BGR.

    ``pages``: pictures in the file, of which this is the first. ``bits``: of one value in the file.
    ``negative``: 0 is white and nobody has turned it round yet.
    """

    pixels: NDArray[Any]
    pages: int
    bits: int
    negative: bool = False


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """``image`` (H, W, 3) uint8 BGR, ``aperture`` (H, W) bool, or None: all of it is inside.

    ``pages`` as in ``Raw``. ``top_bit``: the highest bit (1 to 16) that any colour of a file of
    16 bits uses; 0 of a file that has fewer.
    """

    image: NDArray[np.uint8]
    aperture: NDArray[np.bool_] | None
    pages: int = 1
    top_bit: int = 0

    @property
    def with_alpha(self) -> NDArray[np.uint8]:
        """(H, W, 3), or (H, W, 4) with the field of view as alpha."""
        if self.aperture is None:
            return self.image
        alpha = np.where(self.aperture, 255, 0).astype(np.uint8)
        return np.dstack([self.image, alpha])


def read_bytes(path: Path) -> bytes:
    """The bytes of a picture file. ``PictureError`` (``corrupt``) when it cannot be read."""
    try:
        if path.stat().st_size > FILE_LIMIT_BYTES:
            raise PictureError("corrupt", f"has more than {FILE_LIMIT_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise PictureError("corrupt", f"cannot be read: {error.strerror}") from error


def read_picture(path: Path, bit_depth: int | None = None) -> DecodedPicture:
    """``decode`` of a file; its errors name it, and have an ``OSError`` as their cause."""
    try:
        return decode(read_bytes(path), bit_depth)
    except PictureError as error:
        detail = f"{printable(path.name)}: {error.detail}"
        raise PictureError(error.reason, detail) from error.__cause__ or error


def decode(data: bytes, bit_depth: int | None = None) -> DecodedPicture:
    """Decode PNG, JPEG, BMP, TIFF or WebP into BGR of 8 bits and the field of view.

    Grey becomes three equal channels. Of 16 bits the high byte is taken, so the full range of the
    file maps to the full range of 8 bits, whatever the picture holds; ``bit_depth`` says that only
    so many of the 16 are used, counted from the lowest, and those then map to the full range.
    Alpha is the field of view: inside where it is at least half; fully opaque is none.
    ``PictureError``: ``corrupt``, ``depth`` (neither 8 nor 16 bits, or a value above
    ``bit_depth``), ``channels``, ``empty_aperture``.
    """
    raw = decode_raw(data)
    pixels = raw.pixels if raw.pixels.ndim == 3 else raw.pixels[:, :, None]
    channels = pixels.shape[2]
    if channels not in (1, 2, 3, 4):
        raise PictureError("channels", f"{channels} channels")
    top_bit = 0
    if pixels.dtype == np.uint16:
        colours = pixels[:, :, : 1 if channels < 3 else 3]
        top_bit = int(colours.max(initial=0)).bit_length()
        pixels = _to_8_bits(pixels, top_bit, bit_depth if raw.bits == FULL_BITS else None)
        top_bit = top_bit if raw.bits == FULL_BITS else 0
    image = pixels[:, :, :3] if channels >= 3 else pixels[:, :, :1].repeat(3, axis=2)
    if raw.negative:
        image = np.bitwise_not(image)
    aperture = _field_of_view(pixels[:, :, -1]) if channels in (2, 4) else None
    return DecodedPicture(np.ascontiguousarray(image), aperture, raw.pages, top_bit)


def decode_raw(data: bytes) -> Raw:
    """The picture without a change of its channels and its depth. ``PictureError``."""
    if not data:
        raise PictureError("corrupt", "the file is empty")
    header = read_header(data)
    if is_jpeg(data):
        return Raw(upright(decode_jpeg(data), header.orientation), 1, 8)
    facts = read_tiff(data) if is_tiff(data) else TiffFacts()
    if facts.bits == FULL_BITS and facts.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        # Of 8 bits OpenCV makes colours; 16 come as they stand in the file.
        detail = f"TIFF of 16 bits with photometric interpretation {facts.photometric}"
        raise PictureError("channels", detail)
    try:
        # UNCHANGED keeps alpha and depth. It turns a TIFF by its tag, and nothing else.
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:  # a header that announces an absurd size
        raise PictureError("corrupt", str(error.err)) from error
    if pixels is None:
        raise PictureError("corrupt", "the file cannot be decoded")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise PictureError("depth", f"{pixels.dtype} pixels are neither 8 nor 16 bits")
    pages = max(header.pages, facts.pages)
    if pixels.dtype == np.uint8:
        return Raw(upright(pixels, header.orientation), pages, 8)
    # 10, 12 or 14 bits packed without a gap have been spread over the 16.
    bits = facts.bits if 0 < facts.bits < FULL_BITS else FULL_BITS
    negative = facts.photometric == WHITE_IS_ZERO
    return Raw(upright(pixels, header.orientation), pages, bits, negative)


def _to_8_bits(pixels: NDArray[Any], top_bit: int, bit_depth: int | None) -> NDArray[np.uint8]:
    depth = bit_depth or FULL_BITS
    if top_bit > depth:
        raise PictureError("depth", f"a value of {top_bit} bits, where bit_depth is {depth}")
    # Alpha may fill all 16 bits beside colours that do not.
    return np.asarray(np.minimum(pixels >> (depth - 8), 255), np.uint8)


def _field_of_view(alpha: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    inside: NDArray[np.bool_] = alpha >= OPAQUE
    if not inside.any():
        raise PictureError("empty_aperture", "alpha is transparent everywhere")
    return None if inside.all() else inside


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn (H, W[, C]) pixels as EXIF's ``orientation`` (1 to 8) says that they are to be seen."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
