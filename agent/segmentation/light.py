"""How bright a picture is inside its aperture: is there a fruit, and can it be seen?"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

BLACK_LEVEL = 4
SATURATED_LEVEL = 250
BLACK_SHARE = 0.995
SATURATED_SHARE = 0.5
DIM_LEVEL = 1.0
"""Below this mean grey level colour is mostly noise."""
EVEN_SHARE = 0.25
"""A fruit that fills the view is this even or more, however weak its light; what is lit in a corner
of a dark view is not."""
RIM = np.ones((7, 7), np.uint8)
"""Pixels at the aperture's edge (three on each side) that say nothing of the focus."""


@dataclass(frozen=True, slots=True)
class Light:
    """Grey levels inside the aperture.

    ``brightness``: mean, 0..255. ``coverage``: share at or above the level of an empty cup.
    ``black`` and ``saturated``: shares at the two ends of the range. ``chroma``: mean of the
    largest minus the smallest of the three colour values, 0..255. ``focus``: mean absolute
    Laplacian, away from the aperture's rim. ``warmth``: mean red minus mean blue, -255..255.
    ``evenness``: median over the 98 % quantile of the grey levels, 0..1.
    """

    brightness: float
    coverage: float
    black: float
    saturated: float
    chroma: float
    focus: float = 0.0
    warmth: float = 0.0
    evenness: float = 0.0

    @property
    def usable(self) -> bool:
        """False for a black picture (an empty cup still shows sensor noise) or a glaring one."""
        return self.black < BLACK_SHARE and self.saturated < SATURATED_SHARE

    def fills_with_colour(self, chromaticity: float) -> bool:
        """Whether one thing that is as much redder than blue as ``chromaticity`` says (red minus
        blue, over the grey level) fills the view. A lamp scales all three alike, so a fruit keeps
        this when its light is gone; bare metal and rubber never have it."""
        return (
            self.brightness >= DIM_LEVEL
            and self.evenness >= EVEN_SHARE
            and self.warmth >= chromaticity * self.brightness
        )


def measure_light(
    picture: NDArray[np.uint8], inside: NDArray[np.bool_] | None, empty_brightness: float
) -> Light:
    """Of a (h, w, 3) BGR picture; an empty aperture counts as black."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    mask = None if inside is None else inside.view(np.uint8)
    blue, green, red = cv2.split(picture)
    largest, smallest = (f(f(blue, green), red) for f in (cv2.max, cv2.min))
    counts = cv2.calcHist([grey], [0], mask, [256], [0, 256]).ravel().astype(np.float64)
    total = float(counts.sum())
    if total == 0.0:
        return Light(0.0, 0.0, 1.0, 0.0, 0.0)
    first_lit = int(np.ceil(empty_brightness))
    middle, high = np.searchsorted(np.cumsum(counts), (0.5 * total, 0.98 * total))
    return Light(
        brightness=float(counts @ np.arange(256)) / total,
        coverage=float(counts[first_lit:].sum()) / total,
        black=float(counts[: BLACK_LEVEL + 1].sum()) / total,
        saturated=float(counts[SATURATED_LEVEL:].sum()) / total,
        chroma=float(cv2.mean(cv2.subtract(largest, smallest), mask)[0]),
        focus=_focus(np.asarray(grey, np.uint8), mask),
        warmth=float(cv2.mean(red, mask)[0] - cv2.mean(blue, mask)[0]),
        evenness=float(middle / max(high, 1)),
    )


def _focus(grey: NDArray[np.uint8], mask: NDArray[np.uint8] | None) -> float:
    """Mean |Laplacian|; the aperture's own edge, the sharpest there is, is kept out."""
    inner = None if mask is None else cv2.erode(mask, RIM, borderValue=0)
    return float(cv2.mean(cv2.convertScaleAbs(cv2.Laplacian(grey, cv2.CV_16S)), inner)[0])
