"""A stand-in for a real line: a second look of the world, in lots, with exact truth.

No weight is trained and no threshold chosen on what ``HELD_OUT_LOTS`` show. Recipes are chosen on
``RECIPE_LOTS``; ``learning_lots`` are what a proof trains on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.simulator.layout import MASK_SUTURE, Layout, Stem, draw_layout, paint_mask
from agent.simulator.noise import Marble, between, chance
from agent.simulator.render import READABLE_FROM
from agent.simulator.skin import paint_ground
from agent.training.cases import Case
from agent.training.samples import Sample
from tests.standin.look import SKINS, SutureForm, lay_hollow, lay_suture, photograph

HELD_OUT_LOTS = tuple(range(9000, 9012))
RECIPE_LOTS = tuple(range(100, 120))
LEARNING_SEEDS = (1, 2, 3, 4, 5)
LOTS_A_SEED = 20

_STREAM_LOT, _STREAM_FRUIT, _STREAM_LABEL = 71, 72, 73
SIDEWAYS = (0.03, 0.14)
"""How far the stem lies from the suture's line, in radii of the view."""


def learning_lots(seed: int) -> tuple[int, ...]:
    """The lots that a training of this seed may see: of no other seed, and none held out."""
    if seed not in LEARNING_SEEDS:
        raise ValueError(f"seed {seed} is none of {LEARNING_SEEDS}")
    return tuple(range(1000 * seed, 1000 * seed + LOTS_A_SEED))


@dataclass(frozen=True, slots=True)
class Lot:
    """What the fruit of one lot share: a skin, the usual forms of suture, the lamp's level."""

    number: int
    skin: int
    forms: tuple[float, ...]
    lamp: float

    @classmethod
    def of(cls, number: int) -> Lot:
        rng = np.random.default_rng([_STREAM_LOT, number])
        forms = rng.dirichlet([2.0] * len(SutureForm))
        return cls(
            number, int(rng.integers(len(SKINS))), tuple(map(float, forms)), between(rng, 0.8, 1.1)
        )


@dataclass(frozen=True, slots=True)
class Fruit:
    """``image`` (S, S, 3) uint8 BGR, ``mask`` (S, S) of classes; ``contrast`` as
    ``Renderer.visible_contrast`` measures it."""

    name: str
    image: NDArray[np.uint8]
    aperture: NDArray[np.bool_]
    mask: NDArray[np.uint8]
    layout: Layout
    form: SutureForm
    contrast: float

    def case(self) -> Case:
        """The fruit as ``evaluate`` judges it, by its exact truth."""
        half, stem = self.image.shape[0] / 2, self.layout.stem
        return Case(
            name=self.name,
            sample=Sample(self.image, self.aperture, self.mask),
            angle_deg=self.layout.angle_deg % 180.0,
            stem_x_px=math.nan if stem is None else (stem.x + 1) * half - 0.5,
            stem_y_px=math.nan if stem is None else (stem.y + 1) * half - 0.5,
            empty=False,
            readable=self.contrast >= READABLE_FROM,
            contrast=self.contrast,
        )


class StandIn:
    """Draws the fruit of the second world at one size."""

    def __init__(self, size_px: int = 256) -> None:
        self.size_px = size_px
        axis = (np.arange(size_px, dtype=np.float32) + 0.5) / np.float32(size_px / 2) - 1
        self.aperture: NDArray[np.bool_] = (axis[None, :] ** 2 + axis[:, None] ** 2) <= 1.0
        x, y = np.meshgrid(axis, axis)
        self._axes = (x.astype(np.float32), y.astype(np.float32))
        self._marble = Marble()

    def fruit(self, lot: int, index: int) -> Fruit:
        """The fruit of this number in its lot: the same pixels every time."""
        image, layout, form = self._draw(lot, index, 1.0)
        mask = paint_mask(layout, self.aperture)
        bare, _, _ = self._draw(lot, index, 0.0)
        contrast = visible_contrast(image, bare, mask, layout.angle_deg)
        return Fruit(f"lot{lot}-{index:03d}", image, self.aperture, mask, layout, form, contrast)

    def cases(self, lots: tuple[int, ...], each: int) -> Iterator[Case]:
        """``each`` fruit of every lot, lot by lot."""
        return (self.fruit(lot, index).case() for lot in lots for index in range(each))

    def label(self, fruit: Fruit, seed: int) -> NDArray[np.uint8]:
        """The mask as a person would draw it: the line turned by a degree or so and a little
        aside, the ellipse a little off in place and size (standard deviations: 1 degree, 1.3 px,
        1.5 px and 6 % at 256 px)."""
        rng = np.random.default_rng([_STREAM_LABEL, seed, *map(ord, fruit.name)])
        turn, aside = rng.normal(0, (1.0, 0.010))
        x, y, wide, high = rng.normal(0, (0.012, 0.012, 0.06, 0.06))
        drawn = replace(
            fruit.layout,
            angle_deg=fruit.layout.angle_deg + float(turn),
            offset=fruit.layout.offset + float(aside),
        )
        stem = fruit.layout.stem
        if stem is not None:
            drawn = replace(
                drawn,
                stem=replace(
                    stem,
                    x=stem.x + float(x),
                    y=stem.y + float(y),
                    a=stem.a * math.exp(float(wide)),
                    b=stem.b * math.exp(float(high)),
                ),
            )
        return paint_mask(drawn, self.aperture)

    def _draw(
        self, lot: int, index: int, ink: float
    ) -> tuple[NDArray[np.uint8], Layout, SutureForm]:
        def part(number: int) -> np.random.Generator:
            return np.random.default_rng([_STREAM_FRUIT, lot, index, number])

        habits = Lot.of(lot)
        rng = part(0)
        layout = _stem_aside(rng, draw_layout(rng))
        form = list(SutureForm)[int(rng.choice(len(SutureForm), p=habits.forms))]
        contrast = 0.07 * (0.34 / 0.07) ** float(rng.random())
        planes = paint_ground(part(1), SKINS[habits.skin], layout, self._axes, self._marble)
        fine = part(2).standard_normal((self.size_px, self.size_px), dtype=np.float32)
        planes *= 1 + np.float32(0.04) * cv2.GaussianBlur(fine, (0, 0), 1.4 * self.size_px / 256)
        lay_suture(part(3), planes, layout, form, contrast, ink)
        if layout.stem is not None:
            lay_hollow(part(4), planes, layout.stem)
        return photograph(part(5), planes, habits.lamp, self.aperture), layout, form


def visible_contrast(
    drawn: NDArray[np.uint8], bare: NDArray[np.uint8], mask: NDArray[np.uint8], angle_deg: float
) -> float:
    """The simulator's measure of a readable suture, of two pictures that differ in it alone."""
    soft = [cv2.GaussianBlur(image, (0, 0), 1.0).astype(np.float32) for image in (drawn, bare)]
    bar = (mask == MASK_SUTURE).astype(np.float32)
    difference = np.abs(soft[0] - soft[1]).max(2) * bar
    size = mask.shape[0]
    level = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), -angle_deg, 1.0)
    across = cv2.warpAffine(difference, level, (size, size)).max(0)
    there = cv2.warpAffine(bar, level, (size, size)).max(0) > 0
    return float(across[there].mean() / 255) if there.any() else 0.0


def _stem_aside(rng: np.random.Generator, layout: Layout) -> Layout:
    """The layout with its stem moved off the line, to either side."""
    if layout.stem is None:
        return layout
    much = between(rng, *SIDEWAYS) * (1 if chance(rng, 0.5) else -1)
    dx, dy = layout.direction()
    stem = layout.stem
    aside = Stem(stem.x - dy * much, stem.y + dx * much, stem.a, stem.b, stem.tilt_deg)
    return replace(layout, stem=aside)
