"""JPEG, strictly: what the decoder warns of is no picture."""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from agent.picture_files.errors import PictureError

PIXEL_LIMIT = 16384 * 16384
"""What a configuration may ask for at most; a header can announce 15 times as much."""
_INKS = ("CMYK", "YCCK")


def decode_jpeg(data: bytes) -> NDArray[np.uint8]:
    """Decode one JPEG, of a file or of a Motion-JPEG stream, into (H, W, 3) uint8 BGR.

    ``PictureError`` (``corrupt``) for whatever libjpeg warns of: codes that do not exist, bytes
    left over or missing, restart markers out of order. Its other users get a picture with a part
    of it shifted or grey, and no error. JPEG has no check sum: damage that leaves a valid stream
    of the right length is not noticed. Orientation is not applied. Pixels are those of OpenCV.
    """
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=True)
        if height * width > PIXEL_LIMIT:
            raise PictureError("corrupt", f"announces {width} x {height} pixels")
        if colours not in _INKS:
            return np.asarray(simplejpeg.decode_jpeg(data, "BGR", strict=True), np.uint8)
        simplejpeg.decode_jpeg(data, "CMYK", strict=True)
    except ValueError as error:
        raise PictureError("corrupt", str(error)) from error
    # libjpeg leaves inks as they are; OpenCV knows how they are turned into light.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise PictureError("corrupt", "the file cannot be decoded")
    return np.asarray(image, np.uint8)
