"""Shapes that labelling tools draw, as masks, and masks as polygons. Pure.

Coordinates are pixels from the upper left corner of the picture: pixel (x, y) covers x to x + 1 and
y to y + 1. A pixel belongs to a shape where its centre does. A polygon along the edges of the
pixels of a mask therefore gives that mask again, in COCO's own rasteriser too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Ring = NDArray[np.int64]
"""(n, 2) corners x, y; the last one is joined with the first."""
MOST_CORNERS = 200_000
_HEADINGS = ((0, -1), (1, 0), (0, 1), (-1, 0))
"""Up, right, down, left: clockwise as seen in a picture."""


def polygon_mask(points: Sequence[tuple[float, float]], height: int, width: int) -> Mask:
    """(height, width) bool: the pixels whose centres a polygon encloses by the even-odd rule.

    What lies outside the picture is cut off. ``ValueError``: less than three corners, too many, or
    a coordinate that is no finite number.
    """
    if not 3 <= len(points) <= MOST_CORNERS:
        raise ValueError(f"a polygon of {len(points)} corners")
    corners = np.asarray(points, np.float64)
    if not np.isfinite(corners).all():
        raise ValueError("a coordinate is no number")
    corners = np.clip(corners, -1e7, 1e7)
    toggled = np.zeros((height, width + 1), np.uint8)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        top, bottom = min(y0, y1), max(y0, y1)
        first, end = max(0, math.ceil(top - 0.5)), min(height, math.ceil(bottom - 0.5))
        if first >= end:
            continue
        rows = np.arange(first, end)
        crossed = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
        columns = np.clip(np.ceil(crossed - 0.5), 0, width).astype(np.int64)
        toggled[rows, columns] ^= 1
    return np.asarray(np.bitwise_xor.accumulate(toggled, axis=1)[:, :width], np.bool_)


def ellipse_mask(
    centre: tuple[float, float], radii: tuple[float, float], turn_deg: float, shape: tuple[int, int]
) -> Mask:
    """The pixels of a (height, width) picture whose centres an ellipse encloses.

    ``turn_deg``: clockwise as seen in the picture. ``ValueError`` where it has no area.
    """
    if not all(map(math.isfinite, (*centre, *radii, turn_deg))) or min(radii) <= 0:
        raise ValueError("an ellipse without an area")
    turn = math.radians(turn_deg)
    y = (np.arange(shape[0]) + 0.5 - centre[1])[:, None]
    x = (np.arange(shape[1]) + 0.5 - centre[0])[None, :]
    along = (x * math.cos(turn) + y * math.sin(turn)) / radii[0]
    across = (y * math.cos(turn) - x * math.sin(turn)) / radii[1]
    return np.asarray(along**2 + across**2 <= 1.0, np.bool_)


def polygons(mask: Mask) -> list[Ring]:
    """Polygons without holes and without common pixels that are together exactly ``mask``.

    An area with a hole is cut in two along a row of the hole: the formats know no holes.
    """
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    found: list[Ring] = []
    for label in range(1, count):
        part = labels == label
        holes = _holes(part)
        if not holes.any():
            found.append(_ring(part))
            continue
        row = int(np.nonzero(holes.any(axis=1))[0][0])
        upper, lower = part.copy(), part.copy()
        upper[row + 1 :] = False
        lower[: row + 1] = False
        found += polygons(upper) + polygons(lower)
    return found


def _holes(part: Mask) -> Mask:
    """What the area encloses."""
    outside = np.pad(~part, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(outside, connectivity=8)
    return np.asarray((outside == 1) & (labels != labels[0, 0]), np.bool_)[1:-1, 1:-1]


def _ring(part: Mask) -> Ring:
    """The outline of a connected area without holes, clockwise along the edges of its pixels."""
    inside = np.pad(part, 1)
    y, x = (int(one[0]) for one in np.nonzero(part))
    start, heading = (x, y), 1
    at, corners = start, [start]
    while True:
        dx, dy = _HEADINGS[heading]
        at = (at[0] + dx, at[1] + dy)
        # The area is on the right. Of four pixels around a corner, those ahead decide; where two
        # touch at the corner alone, the way stays with the area it came along.
        ahead_right = inside[_pixel(at, heading, right=True)]
        ahead_left = inside[_pixel(at, heading, right=False)]
        turn = 1 if not ahead_right else (-1 if ahead_left else 0)
        if at == start and (heading + turn) % 4 == 1:
            return np.asarray(corners, np.int64)
        if turn:
            corners.append(at)
            heading = (heading + turn) % 4


def _pixel(corner: tuple[int, int], heading: int, *, right: bool) -> tuple[int, int]:
    """Index into the padded mask of the pixel ahead of a corner, right or left of the way."""
    dx, dy = _HEADINGS[heading]
    sx, sy = (-dy, dx) if right else (dy, -dx)
    return corner[1] + (dy + sy - 1) // 2 + 1, corner[0] + (dx + sx - 1) // 2 + 1
