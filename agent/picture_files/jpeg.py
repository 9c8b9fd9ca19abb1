"""JPEG, strictly: what the decoder warns of is no picture."""

from __future__ import annotations

import av
import av.error
import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from agent.picture_files.errors import PictureError

PIXEL_LIMIT = 16384 * 16384
"""What a configuration may ask for at most; a header can announce 15 times as much."""
_KNOWN_TO_BOTH = ("Gray", "444", "422", "420")
_INKS = ("CMYK", "YCCK")


def decode_jpeg(data: bytes) -> NDArray[np.uint8]:
    """Decode one JPEG, of a file or of a Motion-JPEG stream, into (H, W, 3) uint8 BGR.

    ``PictureError`` (``corrupt``) for whatever libjpeg warns of: codes that do not exist, bytes
    left over or missing, restart markers out of order. Its other users get a picture with a part
    of it shifted or grey, and no error. FFmpeg is asked as well: it alone notices a block of more
    than 64 values. JPEG has no check sum: damage that leaves a valid stream of the right length is
    not noticed. Orientation is not applied. Pixels are those of OpenCV.
    """
    try:
        height, width, colours, sampling = simplejpeg.decode_jpeg_header(data, strict=True)
        if height * width > PIXEL_LIMIT:
            raise PictureError("corrupt", f"announces {width} x {height} pixels")
        if colours not in _INKS:
            image = np.asarray(simplejpeg.decode_jpeg(data, "BGR", strict=True), np.uint8)
            if sampling in _KNOWN_TO_BOTH:
                _ask_ffmpeg(data)
            return image
        simplejpeg.decode_jpeg(data, "CMYK", strict=True)
    except ValueError as error:
        raise PictureError("corrupt", str(error)) from error
    # libjpeg leaves inks as they are; OpenCV knows how they are turned into light.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    light = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if light is None:
        raise PictureError("corrupt", "the file cannot be decoded")
    return np.asarray(light, np.uint8)


def _ask_ffmpeg(data: bytes) -> None:
    context = av.CodecContext.create("mjpeg", "r")
    context.thread_count = 1
    context.options = {"err_detect": "explode"}
    try:
        context.decode(av.Packet(data))
    except av.error.InvalidDataError as error:
        raise PictureError("corrupt", f"FFmpeg: {error.strerror}") from error
    except av.error.FFmpegError:  # it does not know this kind of JPEG
        return
