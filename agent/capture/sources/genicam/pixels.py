"""Pixel formats of the PFNC -> BGR of 8 bits, by OpenCV. Pure."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.capture.source import PictureError
from agent.capture.sources.genicam.backend import Buffer
from agent.capture.sources.genicam.formats import FORMATS, canonical


def to_bgr(buffer: Buffer) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 BGR of a complete buffer.

    ``PictureError``: ``pixel_format`` for a format that is none of ``FORMATS``, ``incomplete``
    where there are fewer bytes than the picture has.
    """
    name = canonical(buffer.pixel_format)
    known = FORMATS.get(name)
    if known is None:
        raise PictureError("pixel_format", f"{name} is none of {', '.join(FORMATS)}")
    value_bytes = 1 if known.bits == 8 else 2
    row_bytes = buffer.width_px * known.channels * value_bytes
    stride = max(buffer.stride_bytes, row_bytes)
    needed = stride * (buffer.height_px - 1) + row_bytes
    if buffer.height_px < 1 or buffer.width_px < 1 or buffer.data.size < needed:
        raise PictureError(
            "incomplete",
            f"{buffer.data.size} bytes where {buffer.width_px} x {buffer.height_px} of {name}"
            f" has {needed}",
        )
    rows = np.lib.stride_tricks.as_strided(
        buffer.data, (buffer.height_px, row_bytes), (stride, 1), writeable=False
    )
    rows = np.ascontiguousarray(rows)
    if value_bytes == 2:
        # Bits above those in use are 0 by the PFNC; a camera that breaks it shall not wrap around.
        deep = np.minimum(rows.view("<u2"), 2**known.bits - 1)
        rows = (deep >> (known.bits - 8)).astype(np.uint8)
    shape = (buffer.height_px, buffer.width_px, known.channels)
    image = rows.reshape(shape[:2] if known.channels == 1 else shape)
    if not known.to_bgr:
        return image
    code = getattr(cv2, f"COLOR_{known.to_bgr}")
    return np.asarray(cv2.cvtColor(image, code), np.uint8)
