"""Marks on the skin: lenticels, specks, scratches, cracks and bruises.

None of them is part of the mask. Those that lie beside the stem or run with the suture are what a
network must learn to pass over or to use; the simulator only draws them where they grow.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.simulator.layout import Layout
from agent.simulator.noise import between, chance, smooth_field
from agent.simulator.skin import Planes, take

Layer = NDArray[np.uint8]
TINT = (0.85, 0.75, 0.60)
"""How much a full mark takes of blue, green and red: what dries turns brown."""


def paint_marks(rng: np.random.Generator, planes: Planes, layout: Layout, ink: float) -> None:
    """Add all marks, in place. ``ink`` 0 leaves out what grows along the suture.

    Dark marks are drawn into one 8-bit layer with anti-aliasing, softened once, and taken out of
    the colour; pale ones likewise.
    """
    size = planes.shape[1]
    scale = size / 256.0
    dark = np.zeros((size, size), np.uint8)
    pale = np.zeros((size, size), np.uint8)
    if chance(rng, 0.5):
        _dots(rng, pale, int(rng.integers(10, 90)), (0.4, 1.2), (15, 70), scale)
    if chance(rng, 0.6):
        _dots(rng, dark, int(rng.integers(2, 25)), (0.5, 1.8), (40, 190), scale)
    if layout.stem is not None and chance(rng, 0.4):
        middle = ((layout.stem.x + 1) * size / 2, (layout.stem.y + 1) * size / 2)
        spread = (layout.stem.a * size / 2) + between(rng, 2, 18) * scale
        _dots(rng, dark, int(rng.integers(4, 30)), (0.4, 1.4), (20, 110), scale, (*middle, spread))
    for _ in range(int(rng.integers(1, 3)) if chance(rng, 0.15) else 0):
        _scratch(rng, dark if chance(rng, 0.7) else pale, scale)
    for _ in range(int(rng.integers(1, 6)) if chance(rng, 0.5) else 0):
        _suture_crack(rng, dark, layout, scale, ink)
    if chance(rng, 0.3):
        _bruise(rng, dark)
    sigma = scale * between(rng, 0.5, 1.3)
    if dark.any():
        worn = np.clip(90 + 110 * smooth_field(rng, size, int(rng.integers(10, 40))), 0, 255)
        dark = np.asarray(cv2.multiply(dark, worn.astype(np.uint8), scale=1 / 160), np.uint8)
        soft = cv2.GaussianBlur(dark, (0, 0), sigma).astype(np.float32)
        soft *= np.float32(between(rng, 0.6, 1.0) / 255)
        take(planes, soft, TINT)
    if pale.any():
        soft = cv2.GaussianBlur(pale, (0, 0), sigma).astype(np.float32) * np.float32(0.35 / 255)
        for plane in planes:
            plane += soft * (1 - plane)


def _dots(
    rng: np.random.Generator,
    layer: Layer,
    count: int,
    radius_px: tuple[float, float],
    strength: tuple[int, int],
    scale: float,
    around: tuple[float, float, float] | None = None,
) -> None:
    """Anti-aliased dots; ``around`` = (x, y, spread) in pixels gathers them into a patch."""
    size = layer.shape[0]
    if around is None:
        places = rng.random((count, 2)) * size
    else:
        places = rng.normal(0.0, around[2], (count, 2)) + around[:2]
    radii = (radius_px[0] + (radius_px[1] - radius_px[0]) * rng.random(count) ** 2) * scale
    values = rng.integers(strength[0], strength[1], count).tolist()
    fixed = (places * 16).astype(np.int32).tolist()
    sizes = (radii * 16).astype(np.int32).tolist()
    for place, radius, value in zip(fixed, sizes, values, strict=True):
        cv2.circle(layer, place, radius, value, -1, cv2.LINE_AA, 4)


def _crooked(
    rng: np.random.Generator,
    layer: Layer,
    start: NDArray[np.float64],
    course: tuple[float, float, float],
    points: int,
    scale: float,
    strength: float = 1.0,
) -> NDArray[np.float64]:
    """One crooked line that is darker here and lighter there; returns its points, (points, 2) px.

    ``course``: first heading in radians, mean turn a step, and spread of the turns.
    """
    heading = course[0] + np.cumsum(rng.normal(course[1], course[2], points))
    step = between(rng, 2.0, 5.0) * scale
    track = start + np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1) * step, 0)
    fixed = (track * 16).astype(np.int32)
    values = np.clip(between(rng, 30, 170) + rng.normal(0, 35, points), 0, 220) * strength
    thick = 1 if scale < 1.5 or chance(rng, 0.6) else 2
    for first in range(0, points - 1, 2):  # pieces of two steps
        piece = fixed[first : first + 3]
        cv2.polylines(layer, [piece], False, int(values[first]), thick, cv2.LINE_AA, 4)
    return np.asarray(track)


def _scratch(rng: np.random.Generator, layer: Layer, scale: float) -> None:
    """Anywhere, in any direction."""
    start = rng.random(2) * layer.shape[0]
    course = (between(rng, 0, 2 * np.pi), 0.0, 0.16)
    _crooked(rng, layer, start, course, int(rng.integers(6, 22)), scale, 0.8)


def _suture_crack(
    rng: np.random.Generator, layer: Layer, layout: Layout, scale: float, ink: float
) -> None:
    """A fine crack that leaves the stem's surround more or less along the suture, and may fork."""
    half = layer.shape[0] / 2
    dx, dy = layout.direction()
    sign = 1.0 if chance(rng, 0.5) else -1.0
    fx, fy = layout.foot()
    radius = layout.stem.a if layout.stem is not None else 0.0
    far = sign * (radius * between(rng, 0.7, 1.2) + float(rng.exponential(0.12)))
    start = (np.array([fx + dx * far, fy + dy * far]) + 1) * half
    start += rng.normal(0, 2.5 * scale, 2)
    heading = float(np.arctan2(sign * dy, sign * dx)) + rng.normal(0, 0.25)
    course = (heading, rng.normal(0, 0.02), 0.14)
    track = _crooked(rng, layer, start, course, int(rng.integers(4, 18)), scale, ink)
    if chance(rng, 0.4):
        fork = track[int(rng.integers(0, len(track)))]
        turn = heading + (1 if chance(rng, 0.5) else -1) * between(rng, 0.4, 1.1)
        _crooked(rng, layer, fork, (turn, 0.0, 0.2), int(rng.integers(3, 7)), scale, 0.8 * ink)


def _bruise(rng: np.random.Generator, dark: Layer) -> None:
    """Soft brown blobs; drawn coarse because they have no detail."""
    size = dark.shape[0]
    small = np.zeros((32, 32), np.uint8)
    for _ in range(int(rng.integers(1, 3))):
        centre = (int(rng.integers(2, 30) * 16), int(rng.integers(2, 30) * 16))
        axes = (int(between(rng, 1.0, 4.0) * 16), int(between(rng, 1.0, 3.0) * 16))
        tilt, value = between(rng, 0, 180), int(rng.integers(25, 110))
        cv2.ellipse(small, centre, axes, tilt, 0, 360, value, -1, cv2.LINE_AA, 4)
    small = np.asarray(cv2.GaussianBlur(small, (0, 0), between(rng, 0.6, 1.5)), np.uint8)
    small = np.clip(small * (0.7 + 0.4 * smooth_field(rng, 32, 12)), 0, 255).astype(np.uint8)
    np.maximum(dark, cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC), out=dark)
