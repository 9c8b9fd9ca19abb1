"""Pictures for the wire: one that is too large is encoded again, smaller, rather than refused."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from agent.records import Overlay

JPEG = "image/jpeg"
QUALITIES = (85, 70, 55, 40)
SHRINK = 0.75
SIDE_MIN_PX = 32


@dataclass(frozen=True, slots=True)
class Image:
    """Encoded bytes with what a viewer must know of them."""

    data: bytes
    content_type: str
    width_px: int
    height_px: int


def grey_pixel() -> Image:
    """Return the smallest picture that there is: nothing is to be seen."""
    _, encoded = cv2.imencode(".png", np.full((1, 1), 128, np.uint8))
    return Image(encoded.tobytes(), "image/png", 1, 1)


def fit(overlay: Overlay, limit_bytes: int) -> Image | None:
    """Return the picture within ``limit_bytes``: unchanged if it is, else as a smaller JPEG.

    First the JPEG quality goes down, then the size. None when the bytes are no picture, or when
    no picture of a useful size fits.
    """
    if not overlay.data:
        return None  # an empty retained message would wipe the topic
    if len(overlay.data) <= limit_bytes:
        return Image(overlay.data, overlay.content_type, overlay.width_px, overlay.height_px)
    try:
        picture = cv2.imdecode(np.frombuffer(overlay.data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if picture is None:
        return None
    while min(picture.shape[:2]) >= SIDE_MIN_PX:
        for quality in QUALITIES:
            done, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if done and encoded.nbytes <= limit_bytes:
                return Image(encoded.tobytes(), JPEG, picture.shape[1], picture.shape[0])
        picture = cv2.resize(picture, None, fx=SHRINK, fy=SHRINK, interpolation=cv2.INTER_AREA)
    return None
