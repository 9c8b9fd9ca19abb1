"""A picture file's bytes -> BGR and the field of view."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.capture.source import PictureError

OPAQUE = 128
SHAPE_SHARE = 0.01
_JPEG = b"\xff\xd8"
_SCAN, _END = b"\xff\xda", b"\xff\xd9"


def decode(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Decode PNG, JPEG, BMP, TIFF or WebP into ((H, W, 3) uint8 BGR, (H, W) bool or None).

    Grey becomes three equal channels. Of 16 bits the high byte is taken, so the full range of the
    file maps to the full range of 8 bits, whatever the picture holds. Alpha is the field of view:
    inside where it is at least half; fully opaque is none. ``PictureError``: ``corrupt``,
    ``depth`` (neither 8 nor 16 bits), ``channels``, ``empty_aperture``.
    """
    jpeg = data[:2] == _JPEG
    # A JPEG that was cut short decodes to a picture with a grey rest, and without an error.
    if not data or (jpeg and data.rfind(_END) < data.rfind(_SCAN)):
        raise PictureError("corrupt", "the file is empty or cut short")
    # UNCHANGED keeps alpha and depth but also ignores a JPEG's orientation, which COLOR applies.
    flags = cv2.IMREAD_COLOR if jpeg else cv2.IMREAD_UNCHANGED
    try:
        raw: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:  # a header that announces an absurd size
        raise PictureError("corrupt", str(error.err)) from error
    if raw is None:
        raise PictureError("corrupt", "the file cannot be decoded")
    if raw.dtype == np.uint16:
        raw = (raw >> 8).astype(np.uint8)
    if raw.dtype != np.uint8:
        raise PictureError("depth", f"{raw.dtype} pixels are neither 8 nor 16 bits")
    return _split(raw if raw.ndim == 3 else raw[:, :, None])


def _split(raw: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    channels = raw.shape[2]
    if channels not in (1, 2, 3, 4):
        raise PictureError("channels", f"{channels} channels")
    image = raw[:, :, :3] if channels >= 3 else raw[:, :, :1].repeat(3, axis=2)
    aperture = None
    if channels in (2, 4):
        aperture = raw[:, :, -1] >= OPAQUE
        if not aperture.any():
            raise PictureError("empty_aperture", "alpha is transparent everywhere")
        if aperture.all():
            aperture = None
    return np.ascontiguousarray(image), aperture


def same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether pictures of two sizes (width, height) differ by their scale alone, within 1 %."""
    return abs(size[0] * other[1] / (size[1] * other[0]) - 1) <= SHAPE_SHARE


def fit(
    image: NDArray[np.uint8], aperture: NDArray[np.bool_] | None, size: tuple[int, int] | None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Bring a picture to ``size`` = (width, height) where the configuration asks for one.

    ``PictureError`` (``picture_size``) where it would be stretched: that turns every angle.
    """
    if size is None or size == (image.shape[1], image.shape[0]):
        return image, aperture
    if not same_shape((image.shape[1], image.shape[0]), size):
        detail = (
            f"{image.shape[1]} x {image.shape[0]} cannot become {size[0]} x {size[1]}"
            " without being stretched"
        )
        raise PictureError("picture_size", detail)
    shrinks = size[0] < image.shape[1]
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if aperture is not None:
        mask = cv2.resize(aperture.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        aperture = mask.astype(np.bool_)
    return np.asarray(resized, np.uint8), aperture
