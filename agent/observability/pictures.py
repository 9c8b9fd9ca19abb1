"""The newest frame with its mask, angle and stem, and mean maps: made on request, once."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent import drawing
from agent.observability.fruit_frames import AnnotatedFrame
from agent.observability.newest import MeanMap
from agent.records import STEM, SUTURE

SIDE_MAX_PX = 960
"""A larger frame is shown smaller: a page needs no more, and encoding stays in milliseconds."""
SMALL_PX = 480
"""Of a frame that is one of many on a page."""
QUALITY = 85
COLOURS_BGR = {SUTURE: (0, 200, 255), STEM: (255, 190, 60)}
OTHER_BGR = (200, 120, 255)
LINE_BGR = (255, 255, 255)
MEAN_SIDE_PX = 240


@dataclass(frozen=True, slots=True)
class Picture:
    """Encoded bytes; ``picture_id`` changes whenever the bytes do."""

    picture_id: str
    content_type: str
    data: bytes


def fitted(annotated: AnnotatedFrame, side_px: int = SIDE_MAX_PX) -> AnnotatedFrame:
    """Return the frame at most ``side_px`` on a side, without what is not shown."""
    image = annotated.frame.image
    if max(image.shape[:2]) > side_px:
        image = drawing.scaled(image, side_px)
    scale = annotated.scale * image.shape[1] / annotated.frame.image.shape[1]
    frame = dataclasses.replace(annotated.frame, image=image, aperture=None, truth={})
    return dataclasses.replace(annotated, frame=frame, scale=scale)


def outlined(annotated: AnnotatedFrame, side_px: int = SIDE_MAX_PX) -> NDArray[np.uint8]:
    """Return (H', W', 3) uint8 BGR: the frame, at most ``side_px`` on a side, and what was read.

    Each class is outlined; a reading adds its line through the suture and a cross on the stem. The
    mask is on the network's grid and covers the whole frame.
    """
    annotated = fitted(annotated, side_px)
    image = annotated.frame.image.copy()
    height, width = image.shape[:2]
    mask = cv2.resize(annotated.segmentation.mask, (width, height), interpolation=cv2.INTER_NEAREST)
    thickness = 1 if max(height, width) < 400 else 2
    for index, name in enumerate(annotated.segmentation.classes[1:], start=1):
        inside = np.asarray(mask == index, dtype=np.uint8)
        contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        colour = COLOURS_BGR.get(name, OTHER_BGR)
        cv2.drawContours(image, contours, -1, colour, thickness)
        if name == SUTURE and contours and annotated.segmentation.reading.read:
            _draw_line(image, inside, annotated)
    _draw_stem(image, annotated)
    return image


def _draw_line(
    image: NDArray[np.uint8], inside: NDArray[np.uint8], annotated: AnnotatedFrame
) -> None:
    moments = cv2.moments(inside, binaryImage=True)
    x, y = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    angle = math.radians(annotated.segmentation.reading.angle_deg + annotated.cutting_line_deg)
    reach = 0.45 * min(image.shape[:2])
    dx, dy = reach * math.cos(angle), -reach * math.sin(angle)  # counter-clockwise; y points down
    ends = (round(x - dx), round(y - dy)), (round(x + dx), round(y + dy))
    cv2.line(image, *ends, LINE_BGR, max(1, min(image.shape[:2]) // 160), cv2.LINE_AA)


def _draw_stem(image: NDArray[np.uint8], annotated: AnnotatedFrame) -> None:
    reading = annotated.segmentation.reading
    if not (math.isfinite(reading.stem_x_px) and math.isfinite(reading.stem_y_px)):
        return
    at = round(reading.stem_x_px * annotated.scale), round(reading.stem_y_px * annotated.scale)
    size = max(9, min(image.shape[:2]) // 16)
    for colour, width in (((0, 0, 0), 3), (COLOURS_BGR[STEM], 1)):
        cv2.drawMarker(image, at, colour, cv2.MARKER_CROSS, size, width, cv2.LINE_AA)


def mean_map_picture(mean_map: MeanMap) -> Picture:
    """Return a PNG of 240 px: the map from its smallest to its largest value, dark to bright.

    Its own range, since only its shape is compared with the heat map's.
    """
    values = mean_map.values.astype(np.float32)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not high > low:
        values, low, high = np.zeros((1, 1), np.float32), 0.0, 1.0
    smooth = cv2.resize(values, (MEAN_SIDE_PX, MEAN_SIDE_PX), interpolation=cv2.INTER_CUBIC)
    grey = np.clip((smooth - low) / (high - low) * 255.0, 0.0, 255.0).astype(np.uint8)
    done, data = cv2.imencode(".png", cv2.applyColorMap(grey, cv2.COLORMAP_CIVIDIS))
    if not done:
        raise ValueError(f"a map of shape {values.shape} cannot be encoded")
    return Picture(mean_map.frame_id, "image/png", data.tobytes())


def encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    """Return a BGR picture as JPEG; ``ValueError`` when OpenCV cannot encode it."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError(f"a picture of shape {image.shape} cannot be encoded")
    return data.tobytes()
