"""The skin around the stem: a stain without a clear outline, its tide marks, and fine wrinkles.

Water and wax gather round the cavity and dry there: an uneven dusky area, drawn out along the
suture, whose former edges stay as broken lines. Wrinkles run together on the stem. All of it is
background in the mask: a network must not take it for the cavity.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.simulator.layout import Layout, Stem
from agent.simulator.noise import Field, Marble, between, chance, smooth_field, smoothstep, turned
from agent.simulator.skin import Planes, polar_field, take

BOX = 0.62
"""Half side of the painted square, in radii of the view; everything fades out within it."""
BOX_PX_AT_256 = 88
DRIED, CORK = (0.85, 0.75, 0.62), (0.52, 0.63, 0.66)
"""How much a full line takes of blue, green and red: what dries turns brown, what heals grey."""
LIT = 0.4
"""How far a ridge lightens the skin at most, as a share of what a full line darkens it."""


def lay_surround(rng: np.random.Generator, planes: Planes, layout: Layout, marble: Marble) -> None:
    """Stain, tide marks and wrinkles on ``planes`` (3, S, S), in place; nothing without a stem."""
    stem = layout.stem
    if stem is None or chance(rng, 0.1):
        return
    pixels = max(32, planes.shape[1] * BOX_PX_AT_256 // 256)
    axis = np.linspace(-BOX, BOX, pixels, dtype=np.float32)
    dx, dy = layout.direction()
    turn = float(np.arctan2(dy, dx)) + rng.normal(0, 0.4)  # a stain mostly follows the suture
    along, across = turned((axis[None, :], axis[:, None]), (0.0, 0.0), turn)
    rough = marble.field(rng, pixels, between(rng, 2.5, 6.0))
    fade = 1 - smoothstep(np.hypot(axis[None, :], axis[:, None]), 0.6 * BOX, BOX)
    dark, stain = np.zeros_like(rough), np.zeros_like(rough)
    if chance(rng, 0.85):
        stain = _stain(rng, along, across, rough, dark, stem)
    if chance(rng, 0.75):
        _wrinkles(rng, axis, rough, dark, stem)
    if stain.any():
        red = between(rng, 0.15, 0.5)
        green = red + rng.normal(0, 0.05)
        _lay(planes, stain * fade, stem, (between(rng, 0.1, 0.6) * red, green, red))
    if dark.any():
        grey = between(rng, 0, 1)
        tint = (1 - grey) * np.array(DRIED) + grey * np.array(CORK)
        _lay(planes, np.clip(dark, -LIT, 1) * fade, stem, (tint[0], tint[1], tint[2]))


def _stain(
    rng: np.random.Generator, along: Field, across: Field, rough: Field, dark: Field, stem: Stem
) -> Field:
    """(P, P) 0..1 strength of the dusky area; its tide marks are added to ``dark``.

    The outline is where a distance of the stem, bent by ``rough``, reaches 1; a tide mark is a
    narrow band around one value of that distance, present here and there.
    """
    size = rough.shape[0]
    long = stem.a + between(rng, 0.08, 0.36)
    wide = stem.b + between(rng, 0.03, 0.22)
    away = rng.normal(0, 0.4) * long  # seldom as far to one side as to the other
    bent = np.float32(between(rng, 0.12, 0.3)) * rough
    bent += np.hypot((along - np.float32(away)) / np.float32(long), across / np.float32(wide))
    strength = np.clip(0.6 + 0.5 * smooth_field(rng, size, int(rng.integers(5, 12))), 0, 1.3)
    soft = 1 - smoothstep(bent, between(rng, 0.1, 0.7), between(rng, 1.0, 1.6))
    fine = smooth_field(rng, size, size // 4)
    # A tide mark follows the pores: it wavers, and is darker here and paler there.
    wavering = bent + np.float32(between(rng, 0.01, 0.06)) * fine
    uneven = np.clip(0.75 + np.float32(between(rng, 0.2, 0.7)) * fine[::-1], 0, 1.5)
    loose = smoothstep(fine, 0.7, 1.9)
    for _ in range(int(rng.integers(0, 5))):
        at, width = between(rng, 0.55, 1.15), between(rng, 0.02, 0.08)
        line = np.exp(-(((wavering - np.float32(at)) / np.float32(width)) ** 2)) * uneven
        here = smoothstep(smooth_field(rng, size, int(rng.integers(4, 10))), -0.2, 1.7)
        dark += np.float32(between(rng, 0.1, 0.6)) * line * here
        # What crumbles off a mark lies along it.
        crumbs = loose * smoothstep(line, 0.02, 0.5) * here
        dark += np.float32(between(rng, 0.0, 0.5)) * crumbs
    if chance(rng, 0.6):  # specks of it dried on
        specks = smoothstep(fine, 1.2, 2.4)
        dark += np.float32(between(rng, 0.2, 0.6)) * specks * soft
    return np.asarray(np.float32(between(rng, 0.15, 0.7)) * soft * strength, np.float32)


def _wrinkles(rng: np.random.Generator, axis: Field, rough: Field, dark: Field, stem: Stem) -> None:
    """Fine creases that run together on the stem, dark ones and, negative, lit ridges."""
    middle = rng.normal(0, 0.25 * stem.a, 2)
    x, y = np.meshgrid(axis - np.float32(middle[0]), axis - np.float32(middle[1]))
    radius, turn = (np.asarray(v, np.float32) for v in cv2.cartToPolar(x, y))
    cells = int(rng.integers(16, 44))
    rays = polar_field(rng, radius, turn, cells, between(rng, 3.0, 7.0), np.float32(0.5) * rough)
    crease = np.exp(-((rays / np.float32(between(rng, 0.08, 0.22))) ** 2))
    side = smoothstep(smooth_field(rng, rough.shape[0], 4), -0.4, 1.2)
    near = np.exp(-np.maximum(radius - np.float32(stem.b), 0) / np.float32(between(rng, 0.04, 0.2)))
    where = near * side
    dark += np.float32(between(rng, 0.05, 0.35)) * where * crease
    dark -= np.float32(between(rng, 0.0, 0.25)) * where * np.clip(rays - 0.6, 0, 1)


def _lay(planes: Planes, soft: Field, stem: Stem, tint: tuple[float, float, float]) -> None:
    """``take`` on the square around the stem, ``soft`` (P, P) enlarged to it."""
    size = planes.shape[1]
    half = size / 2
    left, top = round((stem.x + 1 - BOX) * half), round((stem.y + 1 - BOX) * half)
    side = round(2 * BOX * half)
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(size, left + side), min(size, top + side)
    if x0 >= x1 or y0 >= y1:
        return
    full: NDArray[np.float32] = np.asarray(cv2.resize(soft, (side, side)), np.float32)
    take(planes[:, y0:y1, x0:x1], full[y0 - top : y1 - top, x0 - left : x1 - left], tint)
