"""What a picture file says beside its pixels: its way up, how many pictures, its check sums.

Read by hand where a format is a plain row of chunks: decoders pass over damage there, and a broken
tag must cost the tag and never the picture.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from agent.picture_files.errors import PictureError

JPEG, PNG, RIFF = b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION = 0x0112
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""JPEG markers without a segment: TEM and the restart markers."""
_SCAN, _END = 0xDA, 0xD9


@dataclass(frozen=True, slots=True)
class Header:
    """``orientation`` as EXIF counts it, 1 to 8; ``pages``: pictures in the file."""

    orientation: int = 1
    pages: int = 1


def is_jpeg(data: bytes) -> bool:
    """Whether the bytes begin as a JPEG does."""
    return data[:2] == JPEG


def is_tiff(data: bytes) -> bool:
    """Whether the bytes begin as a TIFF does."""
    return data[:4] in TIFF


def read_header(data: bytes) -> Header:
    """Return the header of a JPEG, PNG or WebP; an empty one of anything else.

    ``PictureError`` (``corrupt``) for a PNG of which a check sum is wrong or the end is missing,
    and for a WebP that is shorter than it says.
    """
    if is_jpeg(data):
        return Header(_jpeg_orientation(data))
    if data[:8] == PNG:
        return _png(data)
    if data[:4] == RIFF and data[8:12] == b"WEBP":
        return _webp(data)
    return Header()


def _jpeg_orientation(data: bytes) -> int:
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF or marker in _ALONE:  # 0xFF: a byte that fills up
            place += 1 if marker == 0xFF else 2
            continue
        if marker in (_SCAN, _END):
            break
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        segment = data[place + 4 : place + 2 + length]
        if marker == 0xE1 and segment[:6] == b"Exif\0\0":
            return exif_orientation(segment[6:])
        place += 2 + max(2, length)
    return 1


def _png(data: bytes) -> Header:
    orientation, pages = 1, 1
    for kind, content in _png_chunks(data):
        if kind == b"eXIf":
            orientation = exif_orientation(content)
        elif kind == b"acTL" and len(content) >= 4:  # animated: the first number is of pictures
            pages = max(1, int.from_bytes(content[:4], "big"))
    return Header(orientation, pages)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(PNG)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        kind, end = data[place + 4 : place + 8], place + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            name = kind.decode("ascii", "replace")
            raise PictureError("corrupt", f"the check sum of chunk {name!r} is wrong")
        yield kind, data[place + 8 : end]
        if kind == b"IEND":
            return
        place = end + 4
    raise PictureError("corrupt", "the file is cut short")


def _webp(data: bytes) -> Header:
    length = 8 + int.from_bytes(data[4:8], "little")
    if length > len(data):
        raise PictureError("corrupt", f"the file is cut short: {len(data)} of {length} bytes")
    orientation, frames, place = 1, 0, 12
    while place + 8 <= length:
        kind = data[place : place + 4]
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        if kind == b"EXIF":
            orientation = exif_orientation(data[place + 8 : place + 8 + size])
        frames += kind == b"ANMF"
        place += 8 + size + size % 2
    return Header(orientation, max(1, frames))


def exif_orientation(exif: bytes) -> int:
    """Return the orientation in a block of EXIF, 1 where it holds none that makes sense."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    try:
        if order is None:
            return 1
        start = struct.unpack_from(f"{order}I", exif, 4)[0]
        count = struct.unpack_from(f"{order}H", exif, start)[0]
        for entry in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, start + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return int(value) if kind == 3 and 1 <= value <= 8 else 1
    except struct.error:  # cut short
        pass
    return 1
