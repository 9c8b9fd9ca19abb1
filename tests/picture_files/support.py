"""Picture files as other software writes them."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image


def encode(suffix: str, image: np.ndarray, *parameters: int) -> bytes:
    """As OpenCV writes it."""
    done, data = cv2.imencode(suffix, image, parameters)
    assert done
    return bytes(data)


def pillow(
    image: np.ndarray,
    kind: str,
    orientation: int = 1,
    more: Sequence[np.ndarray] = (),
    mode: str = "RGB",
    **options: Any,
) -> bytes:
    """(H, W, 3) BGR as Pillow writes it, with an EXIF orientation and further pages."""
    pictures = [Image.fromarray(each[:, :, ::-1]).convert(mode) for each in (image, *more)]
    if orientation != 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif.tobytes()
    if more:
        options |= {"save_all": True, "append_images": pictures[1:]}
    if kind == "WEBP":
        options["lossless"] = True
    out = io.BytesIO()
    pictures[0].save(out, kind, **options)
    return out.getvalue()


ORIENTED: Mapping[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda seen: seen,
    2: lambda seen: seen[:, ::-1],
    3: lambda seen: seen[::-1, ::-1],
    4: lambda seen: seen[::-1],
    5: lambda seen: np.swapaxes(seen, 0, 1),
    6: lambda seen: np.rot90(seen, 1),  # to be turned a quarter clockwise
    7: lambda seen: np.swapaxes(seen[::-1, ::-1], 0, 1),
    8: lambda seen: np.rot90(seen, -1),
}
"""Orientation -> what such a file holds of a picture that is to be seen as given."""


def _packed(pixels: np.ndarray, bits: int) -> bytes:
    """Rows of ``bits`` a value without a gap, each row filled up to whole bytes."""
    rows = []
    for row in pixels:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    return b"".join(rows)


def tiff(pixels: np.ndarray, photometric: int, orientation: int = 1, packed_bits: int = 0) -> bytes:
    """A TIFF of one strip, its directory first; ``pixels`` (H, W) or (H, W, C), in RGB order.

    ``packed_bits``: so many bits a value, of grey ones.
    """
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    data, bits = pixels.tobytes(), 8 * pixels.dtype.itemsize
    if packed_bits:
        data, bits = _packed(pixels, packed_bits), packed_bits
    tags = {
        256: (4, width),
        257: (4, height),
        258: (3, bits),
        259: (3, 1),
        262: (3, photometric),
        273: (4, 0),
        274: (3, orientation),
        277: (3, channels),
        278: (4, height),
        279: (4, len(data)),
    }
    if photometric == 5:
        tags[332] = (3, 1)  # the inks are cyan, magenta, yellow, black
    end = 8 + 2 + 12 * len(tags) + 4
    depths = struct.pack(f"<{channels}H", *[bits] * channels) if channels > 2 else b""
    tags[273] = (4, end + len(depths))
    out = b"II*\0" + struct.pack("<IH", 8, len(tags))
    for tag, (kind, value) in sorted(tags.items()):
        if tag == 258 and depths:
            out += struct.pack("<HHII", tag, kind, channels, end)
        else:
            out += struct.pack("<HHI", tag, kind, 1)
            out += struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value)
    return out + struct.pack("<I", 0) + depths + data
