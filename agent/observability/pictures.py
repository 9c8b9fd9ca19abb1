"""The newest frame as a JPEG with the mask outlined, made when somebody asks, once per frame."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.observability.newest import Newest, Seen
from agent.records import STEM, SUTURE

SIDE_MAX_PX = 960
"""A larger frame is shown smaller: a page needs no more, and encoding stays in milliseconds."""
QUALITY = 85
COLOURS_BGR = {SUTURE: (0, 200, 255), STEM: (255, 190, 60)}
OTHER_BGR = (200, 120, 255)


@dataclass(frozen=True, slots=True)
class Picture:
    """Encoded bytes; ``picture_id`` changes whenever the bytes do."""

    picture_id: str
    content_type: str
    data: bytes


class FramePictures:
    """Encodes lazily: while nobody looks, a frame costs nothing."""

    def __init__(self, newest: Newest) -> None:
        self._newest = newest
        self._lock = threading.Lock()
        self._cache: dict[str, Picture] = {}  # one per camera

    def jpeg(self, camera: str) -> Picture | None:
        """Return the newest frame of a camera, None before the first; takes a few ms per frame."""
        seen = self._newest.seen(camera)
        if seen is None:
            return None
        with self._lock:  # many viewers of one frame share one encoding
            picture = self._cache.get(camera)
            if picture is None or picture.picture_id != seen.frame.frame_id:
                picture = self._cache[camera] = Picture(
                    seen.frame.frame_id, "image/jpeg", encode_jpeg(outlined(seen))
                )
            return picture


def outlined(seen: Seen) -> NDArray[np.uint8]:
    """Return (H', W', 3) uint8 BGR: the frame, at most 960 px on a side, with each class outlined.

    The mask is on the network's grid and covers the whole frame.
    """
    image = _fitted(seen.frame.image)
    height, width = image.shape[:2]
    mask = cv2.resize(seen.segmentation.mask, (width, height), interpolation=cv2.INTER_NEAREST)
    thickness = 1 if max(height, width) < 400 else 2
    for index, name in enumerate(seen.segmentation.classes[1:], start=1):
        inside = np.asarray(mask == index, dtype=np.uint8)
        contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(image, contours, -1, COLOURS_BGR.get(name, OTHER_BGR), thickness)
    return image


def encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    """Return a BGR picture as JPEG; ``ValueError`` when OpenCV cannot encode it."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError(f"a picture of shape {image.shape} cannot be encoded")
    return data.tobytes()


def _fitted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = SIDE_MAX_PX / max(height, width)
    if scale >= 1:
        return image.copy()
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
