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
from agent.observability.newest import HeatMap, MeanMap
from agent.records import STEM, SUTURE

SIDE_MAX_PX = 960
"""A larger frame is shown smaller: a page needs no more, and encoding stays in milliseconds."""
SMALL_PX = 480
"""Of a frame that is one of many on a page."""
QUALITY, SMALL_QUALITY = 85, 70
COLOURS_BGR = {SUTURE: (0, 200, 255), STEM: (255, 190, 60)}
OTHER_BGR = (200, 120, 255)
LINE_BGR = (255, 255, 255)
MEAN_SIDE_PX, MAP_SIDE_PX = 240, 360
USUAL_SHARE = 0.25
"""Of the strength that few maps reach (the 99 % quantile of their strongest cells), what the
strongest place of an ordinary map has once it is drawn: the median over simulated fruit."""
MAP_GROUND, MAP_STEPS = 224, 16
"""The grey of the legend, as bright as most of a pale picture; its colours to either side."""


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


def frame_picture(annotated: AnnotatedFrame, side_px: int = SIDE_MAX_PX) -> Picture:
    """Return the frame as JPEG with what was read in it; takes a few ms."""
    image = outlined(annotated, side_px)
    if side_px == SIDE_MAX_PX:
        return Picture(annotated.frame.frame_id, "image/jpeg", encode_jpeg(image))
    picture_id = f"{annotated.frame.frame_id}-{side_px}"
    return Picture(picture_id, "image/jpeg", encode_jpeg(image, SMALL_QUALITY))


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


def heat_map_picture(heat_map: HeatMap) -> Picture:
    """Return a JPEG of 360 px on the longer side: the signed map over the pale frame, wordless.

    A strength that few maps reach is the darkest colour, a quarter of it, which the strongest place
    of an ordinary map has, the full one. The class as predicted is outlined. Without a frame it is
    a square of the middle grey.
    """
    annotated, strong = heat_map.frame, heat_map.value_range
    if annotated is None:
        image = np.full((MAP_SIDE_PX, MAP_SIDE_PX, 3), MAP_GROUND, np.uint8)
    else:
        image = drawing.pale(drawing.scaled(annotated.frame.image, MAP_SIDE_PX))
    if heat_map.values.size and strong > 0:
        values = drawing.upsampled(heat_map.values, (image.shape[0], image.shape[1]))
        image = drawing.against_usual(image, values, USUAL_SHARE * strong, strong)
    if annotated is not None and heat_map.class_name in annotated.segmentation.classes:
        seen = annotated.segmentation
        mask = np.asarray(seen.mask == seen.classes.index(heat_map.class_name), np.uint8)
        grown = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(grown, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(image, contours, -1, drawing.INK, 1, cv2.LINE_AA)
    return Picture(heat_map.frame_id, "image/jpeg", encode_jpeg(image))


def map_scale() -> tuple[str, ...]:
    """The colours of ``heat_map_picture`` as ``#rrggbb`` for a legend: from the strongest against
    over nothing in the middle to the strongest for, what is usual half way to either end."""
    place = np.linspace(-1.0, 1.0, 2 * MAP_STEPS + 1, dtype=np.float32)
    size = np.abs(place)
    beyond = USUAL_SHARE + (1.0 - USUAL_SHARE) * (2.0 * size - 1.0)
    strength = np.where(size <= 0.5, 2.0 * size * USUAL_SHARE, beyond)
    ground = np.full((1, len(place), 3), MAP_GROUND, np.uint8)
    values = (np.sign(place) * strength).astype(np.float32)[None]
    row = drawing.against_usual(ground, values, USUAL_SHARE, 1.0)[0]
    return tuple(f"#{red:02x}{green:02x}{blue:02x}" for blue, green, red in row)


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


def encode_jpeg(image: NDArray[np.uint8], quality: int = QUALITY) -> bytes:
    """Return a BGR picture as JPEG; ``ValueError`` when OpenCV cannot encode it."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"a picture of shape {image.shape} cannot be encoded")
    return data.tobytes()
