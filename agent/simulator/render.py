"""One fruit, or one empty cup, as the camera above the cups sees it, with its exact truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.simulator.layout import MASK_SUTURE, Layout, draw_layout, paint_mask
from agent.simulator.marks import paint_marks
from agent.simulator.noise import Marble, between, chance, fractal_field, smooth_field, smoothstep
from agent.simulator.optics import expose, illuminate, noise_sheet
from agent.simulator.skin import grain, paint_ground
from agent.simulator.stem import lay_stem
from agent.simulator.surround import lay_surround
from agent.simulator.suture import lay_strip
from agent.simulator.varieties import ALL_VARIETIES, VARIETIES, Variety

FAINT_BELOW = 0.08
"""Sutures of less contrast than this count as faint; see ``Truth.suture_contrast``."""
READABLE_FROM = 0.04
"""A suture that shows with at least this visible contrast, ten grey levels of 255, is readable:
below it a person mostly finds none. A reading is due for readable fruit only."""

MIN_SIZE_PX, MAX_SIZE_PX = 48, 2048
_STREAM_FRUIT, _STREAM_CUP = 1, 2


@dataclass(frozen=True, slots=True)
class Truth:
    """What the simulator knows.

    ``angle_deg`` in [0, 180), counter-clockwise in the picture, 0 = to the right. Stem in pixels
    (a pixel's centre is at its index), NaN where no cavity is in view. ``suture_contrast`` is the
    mean over the line of its largest step against the skin beside it, as a share of the skin's
    brightness, before light and camera.
    """

    empty: bool
    angle_deg: float
    stem_x_px: float
    stem_y_px: float
    variety: str
    suture_contrast: float


@dataclass(frozen=True, slots=True)
class Render:
    """``image`` (S, S, 3) uint8 BGR, black outside ``aperture`` (S, S) bool; ``mask`` likewise."""

    image: NDArray[np.uint8]
    aperture: NDArray[np.bool_]
    mask: NDArray[np.uint8]
    truth: Truth


@dataclass(frozen=True, slots=True)
class Look:
    """Wishes: a variety by name (None: any) and the share of faint sutures."""

    variety: str | None = None
    faint: float = 0.25


class Renderer:
    """Draws pictures of one size; what depends on the size alone is computed once here."""

    def __init__(self, size_px: int = 256) -> None:
        if not MIN_SIZE_PX <= size_px <= MAX_SIZE_PX:
            raise ValueError(f"size {size_px} px is outside {MIN_SIZE_PX}..{MAX_SIZE_PX}")
        self.size_px = size_px
        axis = (np.arange(size_px, dtype=np.float32) + 0.5) / np.float32(size_px / 2) - 1
        self.aperture: NDArray[np.bool_] = (axis[None, :] ** 2 + axis[:, None] ** 2) <= 1.0
        self.aperture.setflags(write=False)
        self._stop = self.aperture.astype(np.uint8)
        coarse = max(24, size_px // 2)
        line = (np.arange(coarse, dtype=np.float32) + 0.5) / np.float32(coarse / 2) - 1
        x, y = np.meshgrid(line, line)
        self._axes = (x.astype(np.float32), y.astype(np.float32))
        self._marble = Marble()
        # One sheet of sensor noise, cut at a random place for each picture: drawing 200,000 normals
        # afresh would cost as much as the rest of the picture.
        rng = np.random.default_rng(size_px)
        self._noise = noise_sheet(rng, size_px + 64)
        sheet = rng.standard_normal((2, size_px + 64, size_px + 64), dtype=np.float32)
        fine = cv2.GaussianBlur(sheet[0], (0, 0), 0.9 * size_px / 256)
        coarser = cv2.GaussianBlur(sheet[1], (0, 0), 2.2 * size_px / 256)
        pores = np.asarray(fine + 0.6 * coarser, np.float32)
        self._grain = pores / pores.std()

    def fruit(self, seed: int, look: Look | None = None, masked: bool = True) -> Render:
        """The fruit of this seed: the same pixels every time. ``masked`` False leaves the corners
        outside the field of view painted, for a picture that is moved before it is cut out."""
        return self._draw(seed, look or Look(), 1.0, masked)

    def visible_contrast(self, seed: int, look: Look | None = None) -> float:
        """How much of the suture the finished picture shows, 0..1: the fruit is drawn once more
        without it. Mean over the line, outside the stem, of the largest difference in any colour
        channel across the bar, of both pictures softened by a pixel, as a share of full scale.
        """
        drawn = self.fruit(seed, look)
        bare = self._draw(seed, look or Look(), 0.0, True)
        soft = [cv2.GaussianBlur(r.image, (0, 0), 1.0).astype(np.float32) for r in (drawn, bare)]
        difference = np.abs(soft[0] - soft[1]).max(2) * (drawn.mask == MASK_SUTURE)
        centre = (self.size_px - 1) / 2
        level = cv2.getRotationMatrix2D((centre, centre), -drawn.truth.angle_deg, 1.0)
        size = (self.size_px, self.size_px)
        across = cv2.warpAffine(difference.astype(np.float32), level, size).max(0)
        bar = cv2.warpAffine((drawn.mask == MASK_SUTURE).astype(np.uint8), level, size).max(0)
        return float(across[bar > 0].mean() / 255) if bar.any() else 0.0

    def _draw(self, seed: int, look: Look, ink: float, masked: bool) -> Render:
        rng = np.random.default_rng([_STREAM_FRUIT, seed])
        variety = self._variety(rng, look.variety)
        contrast = _draw_contrast(rng, look.faint)
        layout = draw_layout(rng)
        coarse = paint_ground(rng, variety, layout, self._axes, self._marble)
        illuminate(rng, coarse, variety, self._axes, layout)
        planes = self._enlarge(coarse)
        planes *= grain(rng, self._grain, self.size_px)
        paint_marks(rng, planes, layout, ink)
        lay_surround(rng, planes, layout, self._marble)
        lay_strip(rng, planes, layout, contrast * ink)
        if layout.stem is not None:
            lay_stem(rng, planes, layout.stem)
        stop = self._stop if masked else None
        image = expose(rng, planes, self._noise_cut(rng), stop)
        if masked:
            image = np.asarray(cv2.bitwise_and(image, image, mask=stop), np.uint8)
        mask = paint_mask(layout, self.aperture)
        return Render(image, self.aperture, mask, _truth(layout, variety, contrast, self.size_px))

    def double(self, seed: int, look: Look | None = None) -> Render:
        """Two fruit pressed into one cup: nothing that could be cut, so no angle and no mask."""
        left, right = self.fruit(seed, look, masked=False), self.fruit(seed ^ 1, look, masked=False)
        half = self.size_px // 2
        image = np.concatenate(
            [left.image[:, half // 2 : half // 2 + half], right.image[:, half // 2 :]], 1
        )
        image = np.ascontiguousarray(image[:, : self.size_px])
        width = max(2, self.size_px // 40)
        image[:, half - width : half + width] = cv2.GaussianBlur(
            image[:, half - width : half + width] // 3, (0, 0), width / 3
        )
        return self._without_suture(image, empty=False, variety=left.truth.variety)

    def empty_cup(self, seed: int) -> Render:
        """A cup without fruit: dark, or a plain rubber or metal cup with its rings."""
        rng = np.random.default_rng([_STREAM_CUP, seed])
        x, y = self._axes
        r = np.hypot(x - np.float32(rng.normal(0, 0.05)), y - np.float32(rng.normal(0, 0.05)))
        level = between(rng, 0.02, 0.07) if chance(rng, 0.6) else between(rng, 0.07, 0.45)
        cup = np.float32(level) * (1 + np.float32(0.1) * fractal_field(rng, x.shape[0], 4, 3))
        for _ in range(int(rng.integers(1, 5))):
            at, width = between(rng, 0.1, 0.95), between(rng, 0.01, 0.08)
            height = level * between(rng, -0.6, 0.8)
            cup += np.float32(height) * np.exp(-(((r - np.float32(at)) / np.float32(width)) ** 2))
        bottom = between(rng, 0.15, 0.6)
        cup *= 1 - np.float32(between(rng, 0, 0.8)) * (1 - smoothstep(r, bottom * 0.8, bottom))
        if chance(rng, 0.3):  # juice and fragments
            cup += np.float32(level * 0.5) * smoothstep(smooth_field(rng, x.shape[0], 9), 0.8, 1.4)
        tint = 1 + rng.normal(0, 0.08, 3)
        coarse = cup[None] * tint.astype(np.float32)[:, None, None]
        plain = Variety("cup", (), 0.0, 0.0, 0.0, 0.0, 0.3)
        illuminate(rng, coarse, plain, self._axes)
        image = expose(rng, self._enlarge(coarse), self._noise_cut(rng))
        return self._without_suture(image, empty=True, variety="")

    def _without_suture(self, image: NDArray[np.uint8], empty: bool, variety: str) -> Render:
        image[~self.aperture] = 0
        truth = Truth(empty, math.nan, math.nan, math.nan, variety, 0.0)
        return Render(image, self.aperture, np.zeros(self.aperture.shape, np.uint8), truth)

    def _enlarge(self, coarse: NDArray[np.float32]) -> NDArray[np.float32]:
        size = (self.size_px, self.size_px)
        planes = np.empty((3, *size), np.float32)
        for plane, small in zip(planes, coarse, strict=True):
            cv2.resize(small, size, dst=plane, interpolation=cv2.INTER_LINEAR)
        return planes

    def _noise_cut(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        top, left = (int(v) for v in rng.integers(0, 64, 2))
        return self._noise[top : top + self.size_px, left : left + self.size_px]

    def _variety(self, rng: np.random.Generator, name: str | None) -> Variety:
        drawn = list(VARIETIES.values())[int(rng.integers(len(VARIETIES)))]
        return drawn if name is None else ALL_VARIETIES[name]


def _draw_contrast(rng: np.random.Generator, faint: float) -> float:
    low, high = (0.04, FAINT_BELOW) if chance(rng, faint) else (FAINT_BELOW, 0.28)
    return float(low * (high / low) ** rng.random())


def _truth(layout: Layout, variety: Variety, contrast: float, size_px: int) -> Truth:
    x = y = math.nan
    if layout.stem is not None:
        x = (layout.stem.x + 1) * size_px / 2 - 0.5
        y = (layout.stem.y + 1) * size_px / 2 - 0.5
    return Truth(False, layout.angle_deg % 180.0, x, y, variety.name, contrast)
