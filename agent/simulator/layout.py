"""Where things lie on one fruit: the suture line, the stem cavity, and their exact mask.

Coordinates are those of the picture with the centre as origin and the radius of the round field of
view as unit, x to the right and y down. The angle is counter-clockwise as seen in the picture, so
a line of angle a runs along (cos a, -sin a).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.simulator.noise import Field, between, chance

BAR_WIDTH_PX_AT_256 = 16.5
"""Width of the suture's bar at 256 px across. Annotators draw bars of 15-18 px; nothing in a
picture shows which, so a width that varied would only be noise in the labels."""

MASK_BACKGROUND, MASK_SUTURE, MASK_STEM = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Stem:
    """An ellipse: centre, semi-axes, and the direction of the first one, counter-clockwise."""

    x: float
    y: float
    a: float
    b: float
    tilt_deg: float


@dataclass(frozen=True, slots=True)
class Layout:
    """``along`` is the foot of the stem on the line, from the point nearest to the centre;
    ``offset`` the line's signed distance from the centre; ``stem`` None where it lies outside."""

    angle_deg: float
    offset: float
    along: float
    stem: Stem | None
    bow: float
    """Sideways deviation of the drawn suture from its straight bar at one radius from the stem."""

    def direction(self) -> tuple[float, float]:
        """Unit vector along the suture, in picture coordinates (y down)."""
        a = math.radians(self.angle_deg)
        return math.cos(a), -math.sin(a)

    def foot(self) -> tuple[float, float]:
        """The point of the line on which the stem sits (or would sit)."""
        dx, dy = self.direction()
        return -dy * self.offset + dx * self.along, dx * self.offset + dy * self.along

    def distance(self, x: Field, y: Field) -> Field:
        """Signed distance from the suture's line of points at ``x`` and ``y``, which broadcast."""
        dx, dy = self.direction()
        away = x * np.float32(-dy) + y * np.float32(dx) - np.float32(self.offset)
        return np.asarray(away, np.float32)


def draw_layout(rng: np.random.Generator) -> Layout:
    """A random fruit lying in its cup: any angle, the stem anywhere on the line."""
    angle = between(rng, 0.0, 180.0)
    offset = float(np.clip(rng.normal(0.0, 0.16), -0.5, 0.5))
    half_chord = math.sqrt(1.0 - offset * offset)
    kind = rng.random()
    sign = 1.0 if chance(rng, 0.5) else -1.0
    if kind < 0.70:
        along = sign * between(rng, 0.0, 0.5)
    elif kind < 0.88:
        along = sign * between(rng, 0.5, half_chord - 0.12)
    elif kind < 0.98:
        along = sign * between(rng, half_chord - 0.12, half_chord + 0.04)  # cut by the border
    else:
        along = sign * (half_chord + 0.4)  # outside: a fruit that lies on its side
    bow = float(rng.normal(0.0, 0.02))
    a = between(rng, 0.10, 0.24)
    ratio = between(rng, 0.62, 1.0)
    # The cavity is often drawn out along the suture, but far from always.
    tilt = angle + (float(rng.normal(0.0, 15.0)) if chance(rng, 0.5) else between(rng, 0.0, 180.0))
    layout = Layout(angle, offset, along, None, bow)
    if kind >= 0.98:
        return layout
    x, y = layout.foot()
    return Layout(angle, offset, along, Stem(x, y, a, a * ratio, tilt), bow)


def paint_mask(layout: Layout, aperture: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(size, size) uint8: 0 background, 1 the suture's bar across the view, 2 the stem over it.

    A pixel belongs to a shape when its centre does.
    """
    size = aperture.shape[0]
    half = size / 2.0
    axis = (np.arange(size, dtype=np.float32) + np.float32(0.5 - half)) / np.float32(half)
    away = np.abs(layout.distance(axis[None, :], axis[:, None]))
    mask = (away <= BAR_WIDTH_PX_AT_256 / 256.0).astype(np.uint8)
    stem = layout.stem
    if stem is not None:
        shift = 6
        scale = half * (1 << shift)
        pixel = (1 << shift) / 2
        centre = (round((stem.x + 1) * scale - pixel), round((stem.y + 1) * scale - pixel))
        axes = (round(stem.a * scale), round(stem.b * scale))
        cv2.ellipse(mask, centre, axes, -stem.tilt_deg, 0, 360, MASK_STEM, -1, cv2.LINE_8, shift)
    mask[~aperture] = MASK_BACKGROUND
    return mask
