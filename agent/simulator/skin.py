"""The skin: ground colour, blush, mottling, lenticels, specks, bruises, cracks.

Works on (S, S, 3) float32 BGR in 0..1, "what a perfect lamp and camera would show".
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.simulator.layout import Layout
from agent.simulator.noise import (
    Field,
    between,
    chance,
    fractal_field,
    smooth_field,
    smoothstep,
)
from agent.simulator.varieties import Rgb, Variety

Colour = NDArray[np.float32]


def colour_ramp(rng: np.random.Generator, ramp: tuple[Rgb, ...]) -> Colour:
    """(256, 3) float32 BGR: the variety's ramp, its anchors shifted a little for this fruit."""
    anchors = np.array(ramp, np.float32)[:, ::-1] / np.float32(255)
    common = rng.normal(0.0, 0.03, (1, 3)) + rng.normal(0.0, 0.03)
    anchors = np.clip(anchors * (1.0 + rng.normal(0.0, 0.05, anchors.shape)) + common, 0.0, 1.0)
    places = np.linspace(0, 255, len(ramp))
    steps = np.arange(256)
    return np.stack([np.interp(steps, places, anchors[:, c]) for c in range(3)], 1).astype(
        np.float32
    )


def paint_ground(
    rng: np.random.Generator, variety: Variety, layout: Layout, axes: tuple[Field, Field]
) -> Colour:
    """(H, H, 3) BGR: ground and blush at the coarse resolution of ``axes`` (x and y, one radius).

    Blush is a level on the variety's ramp: broad patches, soft or with an edge, sometimes streaked
    from the stem, sometimes one cheek redder than the other across the suture.
    """
    x, y = axes
    size = x.shape[0]
    spread = variety.spread * between(rng, 0.4, 1.5)
    level = np.float32(spread) * fractal_field(rng, size, int(rng.integers(3, 6)), 4, 0.45)
    level += np.float32(variety.blush + rng.normal(0.0, 0.10))
    tilt = rng.normal(0.0, 0.08, 2)
    level += np.float32(tilt[0]) * x + np.float32(tilt[1]) * y
    for _ in range(int(rng.integers(0, 3))):  # patches with their own edge, dark or pale
        patch = fractal_field(rng, size, int(rng.integers(2, 5)), 5, 0.5)
        edge = between(rng, 0.25, 1.4)
        start = between(rng, 0.0, 0.9)
        height = between(rng, 0.08, 0.45) * (1 if chance(rng, 0.65) else -0.6)
        level += np.float32(height) * smoothstep(patch, start, start + edge)
    for _ in range(int(rng.integers(1, 4)) if chance(rng, 0.45) else 0):
        level += _stroke(rng, axes)
    if chance(rng, variety.streaks):
        level += _streaks(rng, layout, axes)
    if chance(rng, 0.35):  # one cheek redder than the other
        dx, dy = layout.direction()
        side = (x * np.float32(-dy) + y * np.float32(dx)) - np.float32(layout.offset)
        width = between(rng, 0.03, 0.4)
        level += np.float32(rng.normal(0.0, 0.06)) * np.tanh(side / np.float32(width))
    ramp = colour_ramp(rng, variety.ramp)
    index = np.clip(level * np.float32(255), 0, 255).astype(np.uint8)
    colour = ramp[index]
    tint = np.float32(between(rng, 0.01, 0.04)) * fractal_field(rng, size, 5, 4, 0.6)
    hue = np.float32(between(rng, 0.0, 0.05)) * smooth_field(rng, size, 4)
    colour[..., 0] += tint
    colour[..., 1] += tint + hue
    colour[..., 2] += tint
    return np.asarray(colour, np.float32)


def _stroke(rng: np.random.Generator, axes: tuple[Field, Field]) -> Field:
    """A long soft band of paler or deeper colour: it looks like a suture and is none."""
    x, y = axes
    a = between(rng, 0, np.pi)
    cx, cy = rng.uniform(-0.8, 0.8, 2)
    cos, sin = np.float32(np.cos(a)), np.float32(np.sin(a))
    u = (x - np.float32(cx)) * cos + (y - np.float32(cy)) * sin
    v = (y - np.float32(cy)) * cos - (x - np.float32(cx)) * sin
    v += np.float32(rng.normal(0, 0.3)) * u * u
    long, wide = between(rng, 0.15, 0.7), between(rng, 0.02, 0.12)
    bell = np.exp(-((u / np.float32(long)) ** 2 + (v / np.float32(wide)) ** 2))
    return np.asarray(np.float32(rng.normal(0, 0.12)) * bell, np.float32)


def _streaks(rng: np.random.Generator, layout: Layout, axes: tuple[Field, Field]) -> Field:
    """Blush that runs out from the stem like meridians."""
    x, y = axes
    fx, fy = layout.foot()
    radius, turn = cv2.cartToPolar(x - np.float32(fx), y - np.float32(fy))
    cells = int(rng.integers(24, 70))
    polar = rng.standard_normal((6, cells), dtype=np.float32)
    polar = np.concatenate([polar, polar[:, :2]], 1)
    lookup_x = turn * np.float32(cells / (2 * np.pi))
    lookup_y = np.clip(radius * np.float32(2.5), 0, 4.9)
    streaks = cv2.remap(
        polar, lookup_x, lookup_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(np.float32(between(rng, 0.02, 0.09)) * streaks, np.float32)


def paint_marks(rng: np.random.Generator, colour: Colour, layout: Layout) -> None:
    """Add lenticels, specks, speckled patches beside the stem, scratches and bruises, in place.

    Dark marks are drawn into one 8-bit layer with anti-aliasing, softened once, and taken out of
    the colour; pale ones likewise. None of them is part of the mask: they are what a network must
    learn to pass over.
    """
    size = colour.shape[0]
    if layout.stem is not None and chance(rng, 0.45):
        _stain(rng, colour, layout)
    dark = np.zeros((size, size), np.uint8)
    pale = np.zeros((size, size), np.uint8)
    scale = size / 256.0
    if chance(rng, 0.5):
        _dots(rng, pale, int(rng.integers(10, 120)), (0.4, 1.3), (20, 90), scale)
    if chance(rng, 0.6):
        _dots(rng, dark, int(rng.integers(2, 25)), (0.5, 2.0), (60, 220), scale)
    if layout.stem is not None and chance(rng, 0.6):
        _speckled_patch(rng, dark, layout, scale)
    for _ in range(int(rng.integers(0, 4)) if chance(rng, 0.5) else 0):
        _scratch(rng, dark if chance(rng, 0.7) else pale, scale)
    if chance(rng, 0.3):
        _bruise(rng, dark)
    sigma = scale * between(rng, 0.5, 1.6)
    if dark.any():
        worn = np.clip(90 + 110 * smooth_field(rng, size, int(rng.integers(10, 40))), 0, 255)
        dark = np.asarray(cv2.multiply(dark, worn.astype(np.uint8), scale=1 / 160), np.uint8)
        soft = cv2.GaussianBlur(dark, (0, 0), sigma).astype(np.float32)
        soft *= np.float32(1 / 255)
        tint = np.array([0.85, 0.75, 0.62], np.float32) * np.float32(between(rng, 0.7, 1.0))
        for channel in range(3):
            colour[..., channel] *= 1 - soft * tint[channel]
    if pale.any():
        soft = cv2.GaussianBlur(pale, (0, 0), sigma).astype(np.float32) * np.float32(0.4 / 255)
        colour += soft[..., None] * (1 - colour)


def _stain(rng: np.random.Generator, colour: Colour, layout: Layout) -> None:
    """A dusky, uneven area beside the stem, often drawn out along the suture."""
    assert layout.stem is not None
    size = colour.shape[0]
    coarse = 32
    line = np.linspace(-1, 1, coarse, dtype=np.float32)
    dx, dy = layout.direction()
    away = between(rng, -0.35, 0.35)
    x = line[None, :] - np.float32(layout.stem.x + away * dx)
    y = line[:, None] - np.float32(layout.stem.y + away * dy)
    turn = rng.normal(0, 0.5)
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    dx, dy = dx * cos - dy * sin, dx * sin + dy * cos
    long, wide = between(rng, 0.15, 0.45), between(rng, 0.1, 0.3)
    bell = np.exp(-(((x * dx + y * dy) / long) ** 2 + ((y * dx - x * dy) / wide) ** 2))
    bell *= np.clip(0.6 + 0.6 * smooth_field(rng, coarse, int(rng.integers(5, 14))), 0, 1.4)
    soft = cv2.resize(bell.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    tint = np.array([0.1, 0.5, 0.6], np.float32) + rng.normal(0, 0.15, 3).astype(np.float32)
    strength = np.float32(between(rng, 0.15, 0.6))
    for channel in range(3):
        colour[..., channel] *= 1 - strength * np.clip(tint[channel], 0, 1) * soft


def _dots(
    rng: np.random.Generator,
    layer: NDArray[np.uint8],
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
    values = rng.integers(strength[0], strength[1], count)
    for (px, py), radius, value in zip(places, radii, values, strict=True):
        cv2.circle(
            layer, (int(px * 16), int(py * 16)), int(radius * 16), int(value), -1, cv2.LINE_AA, 4
        )


def _speckled_patch(
    rng: np.random.Generator, dark: NDArray[np.uint8], layout: Layout, scale: float
) -> None:
    """Scribbles and specks beside the stem, as if a leaf had rubbed there."""
    assert layout.stem is not None
    half = dark.shape[0] / 2
    turn = between(rng, 0, 2 * np.pi)
    far = between(rng, 0.05, 0.45) + layout.stem.a
    cx = (layout.stem.x + 1 + far * np.cos(turn)) * half
    cy = (layout.stem.y + 1 + far * np.sin(turn)) * half
    spread = between(rng, 8, 26) * scale
    _dots(rng, dark, int(rng.integers(8, 60)), (0.4, 1.8), (30, 150), scale, (cx, cy, spread))
    for _ in range(int(rng.integers(0, 6))):
        _scribble(rng, dark, (cx, cy), spread, scale)


def _scribble(
    rng: np.random.Generator,
    layer: NDArray[np.uint8],
    centre: tuple[float, float],
    spread: float,
    scale: float,
) -> None:
    """One short crooked line."""
    points = int(rng.integers(4, 14))
    bend = rng.normal(0, 0.5)  # some curl into loops
    heading = between(rng, 0, 2 * np.pi) + np.cumsum(rng.normal(bend, 0.45, points))
    step = between(rng, 2.0, 6.0) * scale
    start = np.array(centre) + rng.normal(0, spread, 2)
    track = start + np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1) * step, 0)
    thick = 1 if scale < 1.5 or chance(rng, 0.6) else 2
    cv2.polylines(
        layer,
        [(track * 16).astype(np.int32)],
        False,
        int(rng.integers(50, 200)),
        thick,
        cv2.LINE_AA,
        4,
    )


def _scratch(rng: np.random.Generator, layer: NDArray[np.uint8], scale: float) -> None:
    """A crack or scratch: longer than a scribble, anywhere, in any direction."""
    size = layer.shape[0]
    points = int(rng.integers(6, 22))
    heading = between(rng, 0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.16, points))
    start = rng.random(2) * size
    track = start + np.cumsum(
        np.stack([np.cos(heading), np.sin(heading)], 1) * between(rng, 2.5, 6.0) * scale, 0
    )
    value = int(rng.integers(30, 170))
    cv2.polylines(layer, [(track * 16).astype(np.int32)], False, value, 1, cv2.LINE_AA, 4)


def _bruise(rng: np.random.Generator, dark: NDArray[np.uint8]) -> None:
    """Soft brown blobs; drawn coarse because they have no detail."""
    size = dark.shape[0]
    small = np.zeros((32, 32), np.uint8)
    for _ in range(int(rng.integers(1, 3))):
        centre = (int(rng.integers(2, 30) * 16), int(rng.integers(2, 30) * 16))
        axes = (int(between(rng, 1.0, 4.0) * 16), int(between(rng, 1.0, 3.0) * 16))
        cv2.ellipse(
            small,
            centre,
            axes,
            between(rng, 0, 180),
            0,
            360,
            int(rng.integers(25, 110)),
            -1,
            cv2.LINE_AA,
            4,
        )
    small = np.asarray(cv2.GaussianBlur(small, (0, 0), between(rng, 0.6, 1.5)), np.uint8)
    np.maximum(dark, cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC), out=dark)
