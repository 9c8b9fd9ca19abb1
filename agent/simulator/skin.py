"""The skin's colour: ground, blush, mottling, and its finest grain.

Colours are planes, (3, S, S) float32 BGR in 0..1, "what a perfect lamp and camera would show": what
follows works on one plane at a time, which is several times as fast as on triples.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.simulator.layout import Layout
from agent.simulator.noise import (
    Field,
    Marble,
    between,
    chance,
    smooth_field,
    smoothstep,
    turned,
)
from agent.simulator.varieties import Rgb, Variety

Planes = NDArray[np.float32]
Polar = tuple[Field, Field]
"""Distance and direction of every point, seen from the stem's foot."""

GREENEST = 0.85
"""Green over red at most: no ripe peach is greener than a yellow one."""

DEEP = 0.45
"""Blush above this level grows ever more slowly."""


def colour_ramp(rng: np.random.Generator, ramp: tuple[Rgb, ...]) -> NDArray[np.float32]:
    """(256, 3) float32 BGR: the variety's ramp, its anchors shifted a little for this fruit."""
    anchors = np.array(ramp, np.float32)[:, ::-1] / np.float32(255)
    anchors = anchors * np.float32(1.0 + rng.normal(0.0, 0.06))
    anchors[:, 1] *= 1.0 + rng.normal(0.0, 0.04) + rng.normal(0.0, 0.02, len(anchors))
    anchors[:, 0] *= np.exp(np.clip(rng.normal(-0.1, 0.3), -0.8, 0.2))
    natural = anchors[:, 2] >= anchors[:, 0]  # a violet fruit is not, and stays as it is
    anchors[natural, 1] = np.minimum(anchors[natural, 1], GREENEST * anchors[natural, 2])
    anchors = np.clip(anchors, 0.0, 1.0)
    places = np.linspace(0, 255, len(ramp))
    steps = np.arange(256)
    return np.stack([np.interp(steps, places, anchors[:, c]) for c in range(3)], 1).astype(
        np.float32
    )


def paint_ground(
    rng: np.random.Generator,
    variety: Variety,
    layout: Layout,
    axes: tuple[Field, Field],
    marble: Marble,
) -> Planes:
    """(3, H, H) BGR: ground and blush at the coarse resolution of ``axes`` (x and y, one radius).

    Blush is a level on the variety's ramp: a tilt over the fruit, marbling, patches with an edge of
    their own, wedges and meridians from the stem, strokes, sometimes one cheek redder than the
    other.
    """
    x, y = axes
    size = x.shape[0]
    spread = variety.spread * between(rng, 0.15, 1.2)
    level = np.float32(spread) * marble.field(rng, size, between(rng, 2.0, 5.0))
    level += np.float32(variety.blush + rng.normal(0.0, 0.09))
    tilt = rng.normal(0.0, 0.09, 2)
    level += np.float32(tilt[0]) * x + np.float32(tilt[1]) * y
    fray = marble.field(rng, size, 10.0)
    polar = _from_stem(layout, axes)
    fibres = _fibres(rng, polar)
    if chance(rng, 0.5):  # frayed along the fibres, which run together on the stem
        fray = np.float32(0.6) * fray + np.float32(between(rng, 0.3, 1.0)) * fibres
    if chance(rng, 0.6):
        level += _cheeks(rng, polar, fray)
    for _ in range(int(rng.integers(0, 3))):  # patches with their own edge, dark or pale
        level += _patch(rng, marble, fray)
    for _ in range(int(rng.integers(1, 3)) if chance(rng, 0.4) else 0):
        level += _stroke(rng, axes)
    if chance(rng, variety.streaks):
        level += _meridians(rng, polar)
    if chance(rng, 0.45):  # one cheek redder than the other
        width = between(rng, 0.03, 0.4)
        side = np.tanh(layout.distance(x, y) / np.float32(width))
        level += np.float32(rng.normal(0.0, 0.10)) * side
    # The deepest blush is approached, never passed: it has no flat areas.
    over = np.maximum(level - np.float32(DEEP), 0)
    level -= over - np.float32(0.9 - DEEP) * np.tanh(over / np.float32(0.9 - DEEP))
    ramp = colour_ramp(rng, variety.ramp)
    index = np.clip(level * np.float32(255), 0, 255).astype(np.uint8)
    planes = np.stack([ramp[:, c][index] for c in range(3)])
    if chance(rng, 0.4):
        _wisps(rng, planes, polar, fray)
    planes *= 1 + np.float32(between(rng, 0.0, 0.025)) * fibres
    for cells, most in ((6.0, 0.05), (18.0, 0.025)):
        planes *= 1 + np.float32(between(rng, 0.0, most)) * marble.field(rng, size, cells)
    planes[0] *= 1 + np.float32(between(rng, 0.0, 0.15)) * smooth_field(rng, size, 5)
    return np.asarray(planes, np.float32)


def _patch(rng: np.random.Generator, marble: Marble, fray: Field) -> Field:
    """A change of level on part of the fruit: uneven within, frayed, with a hard edge on one side
    and a soft one on the other."""
    place = marble.field(rng, fray.shape[0], between(rng, 1.0, 2.5))
    frayed = place + np.float32(between(rng, 0.1, 0.5)) * fray
    start = between(rng, 0.0, 1.0)
    height = between(rng, 0.06, 0.40) * (1 if chance(rng, 0.65) else -0.5)
    size = fray.shape[0]
    edge = np.float32(between(rng, 0.8, 2.2)) * np.exp(np.float32(0.7) * smooth_field(rng, size, 3))
    level = smoothstep((frayed - np.float32(start)) / edge, 0, 1)
    uneven = 1 + np.float32(between(rng, 0.1, 0.4)) * marble.field(rng, size, between(rng, 3, 9))
    return np.asarray(np.float32(height) * level * uneven, np.float32)


def _stroke(rng: np.random.Generator, axes: tuple[Field, Field]) -> Field:
    """A long soft band of paler or deeper colour: it looks like a suture and is none."""
    angle = between(rng, 0, np.pi)
    cx, cy = rng.uniform(-0.8, 0.8, 2)
    u, v = turned(axes, (cx, cy), angle)
    v += np.float32(rng.normal(0, 0.3)) * u * u
    v += np.float32(0.04) * smooth_field(rng, len(u), 9)
    long, wide = between(rng, 0.15, 0.8), between(rng, 0.03, 0.16)
    bell = np.exp(-((u / np.float32(long)) ** 2 + (v / np.float32(wide)) ** 2))
    return np.asarray(np.float32(rng.normal(0, 0.10)) * bell, np.float32)


def polar_field(
    rng: np.random.Generator, radius: Field, turn: Field, cells: int, per_radius: float, bend: Field
) -> Field:
    """Noise in polar coordinates, of the shape of ``radius`` (radii) and ``turn`` (0..2 pi):
    ``cells`` features round the pole, ``per_radius`` outwards, turned by ``bend`` features."""
    polar = rng.standard_normal((8, cells), dtype=np.float32)
    polar = np.concatenate([polar, polar[:, :2]], 1)
    x = (turn * np.float32(cells / (2 * np.pi)) + bend) % np.float32(cells)
    y = np.clip(radius * np.float32(per_radius), 0, 6.9)
    field = cv2.remap(polar, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(field, np.float32)


def _meridians(rng: np.random.Generator, polar: Polar) -> Field:
    """Blush that runs out from the stem in uneven rays, on part of the fruit."""
    radius, turn = polar
    cells = int(rng.integers(24, 90))
    bend = smooth_field(rng, radius.shape[0], 6)
    rays = polar_field(rng, radius, turn, cells, between(rng, 2.0, 4.5), bend)
    where = smoothstep(smooth_field(rng, radius.shape[0], 3), -0.8, 0.6)
    return np.asarray(np.float32(between(rng, 0.01, 0.06)) * rays * where, np.float32)


def _cheeks(rng: np.random.Generator, polar: Polar, fray: Field) -> Field:
    """Blush in wedges that widen away from the stem, and its surround paler or deeper than the
    rest: the sun reaches a shoulder of the fruit and not the hollow beside it."""
    radius, turn = polar
    size = radius.shape[0]
    bend = np.float32(between(rng, 0.1, 0.6)) * smooth_field(rng, size, int(rng.integers(4, 12)))
    wedges = polar_field(rng, radius, turn, int(rng.integers(4, 11)), between(rng, 0.5, 1.6), bend)
    wedges += np.float32(between(rng, 0.0, 0.4)) * fray
    edge = between(rng, 0.3, 1.4)
    start = between(rng, -0.2, 0.7)
    away = smoothstep(radius + np.float32(0.1) * bend, 0.08, between(rng, 0.3, 0.9))
    level = np.float32(between(rng, 0.05, 0.30)) * smoothstep(wedges, start, start + edge) * away
    level += np.float32(rng.normal(0, 0.07)) * (1 - away)
    return np.asarray(level, np.float32)


def _fibres(rng: np.random.Generator, polar: Polar) -> Field:
    """About unit variance: fine long streaks on the stem, which blush and flesh both follow."""
    radius, turn = polar
    bend = np.float32(1.5) * smooth_field(rng, radius.shape[0], int(rng.integers(4, 9)))
    return polar_field(rng, radius, turn, int(rng.integers(24, 80)), between(rng, 2.0, 5.0), bend)


def _wisps(rng: np.random.Generator, planes: Planes, polar: Polar, fray: Field) -> None:
    """Pale, drawn out flecks of flesh that the sun did not reach, on ``planes``, in place."""
    radius, turn = polar
    bend = np.float32(0.4) * smooth_field(rng, radius.shape[0], 6)
    where = polar_field(rng, radius, turn, int(rng.integers(8, 26)), between(rng, 1.0, 3.0), bend)
    where += np.float32(0.3) * fray
    pale = np.float32(between(rng, 0.15, 0.5)) * smoothstep(where, 0.7, between(rng, 1.6, 3.0))
    cream = planes.mean((1, 2)) * np.float32(0.4) + np.array([0.28, 0.5, 0.58], np.float32)
    planes *= 1 - pale
    planes += np.minimum(cream, 1)[:, None, None] * pale


def _from_stem(layout: Layout, axes: tuple[Field, Field]) -> Polar:
    """Distance (radii) and direction (0..2 pi) of every point, seen from the stem's foot."""
    fx, fy = layout.foot()
    radius, turn = cv2.cartToPolar(axes[0] - np.float32(fx), axes[1] - np.float32(fy))
    return np.asarray(radius, np.float32), np.asarray(turn, np.float32)


def grain(rng: np.random.Generator, sheet: Field, size: int) -> Field:
    """(size, size) factor around 1: pores and down, cut from ``sheet`` (larger, unit variance)."""
    spare = sheet.shape[0] - size
    top, left = (int(v) for v in rng.integers(0, spare + 1, 2))
    return (
        np.float32(1)
        + np.float32(between(rng, 0.004, 0.022)) * sheet[top : top + size, left : left + size]
    )


def take(planes: Planes, soft: Field, tint: tuple[float, float, float]) -> None:
    """Take the share ``tint`` (BGR) of each plane where ``soft`` (S, S) is 1, in place."""
    for plane, taken in zip(planes, tint, strict=True):
        plane *= 1 - np.float32(taken) * soft
