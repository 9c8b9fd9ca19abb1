"""Pictures of what is no peach, drawn from seeds, and the views in which a camera shows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Aperture = NDArray[np.bool_]
Colour = tuple[float, float, float]

ORANGE: Colour = (60.0, 140.0, 240.0)


def round_aperture(size_px: int) -> Aperture:
    """The round field of view that fills a square picture."""
    axis = (np.arange(size_px) + 0.5) / (size_px / 2) - 1
    inside: Aperture = axis[None, :] ** 2 + axis[:, None] ** 2 <= 1.0
    return inside


def views(
    picture: NDArray[np.uint8], size_px: int = 256
) -> Iterator[tuple[Picture, Aperture | None]]:
    """The picture (BGR, or BGR with alpha) as cameras would show it: whole; its middle through a
    round aperture; and what the alpha channel cuts out, filling such an aperture before black."""
    inside = round_aperture(size_px)
    opaque = picture[..., :3]
    if picture.shape[2] == 4:
        alpha = picture[..., 3] >= 128
        opaque = np.where(alpha[..., None], opaque, np.uint8(0))
        rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
        yield picture, None
        if len(rows) > 16 and len(columns) > 16:
            cut = opaque[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            yield _square(_padded(cut), size_px), inside
    else:
        yield opaque, None
    yield _square(_middle(opaque), size_px), inside


def _padded(picture: Picture) -> Picture:
    """Black on both sides until the picture is a square."""
    height, width = picture.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    out = np.zeros((side, side, 3), np.uint8)
    out[top : top + height, left : left + width] = picture
    return out


def _middle(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def _square(picture: Picture, size_px: int) -> Picture:
    way = cv2.INTER_AREA if picture.shape[0] > size_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (size_px, size_px), interpolation=way), np.uint8)


# --- drawn kinds: each is one picture from a generator -------------------------------------------


def orange_disc(rng: np.random.Generator, size_px: int = 256) -> Picture:
    """A plain orange disc with one drawn line through it."""
    return _disc(rng, size_px, ORANGE, (30.0, 60.0, 120.0))


def coloured_disc(rng: np.random.Generator, size_px: int = 256) -> Picture:
    """A plain disc of any colour with one line of any other."""
    return _disc(rng, size_px, _colour(rng), _colour(rng))


def shaded_ball(rng: np.random.Generator, size_px: int = 256) -> Picture:
    """A ball of any colour, lit from one side, with a band across and sometimes a spot."""
    colour, y, x = np.array(_colour(rng)), *_grid(size_px)
    height = np.sqrt(np.clip(1.0 - x * x - y * y, 0.0, 1.0))
    turn, tilt = rng.uniform(0, 2 * math.pi), rng.uniform(0.2, 0.8)
    light = np.array([math.cos(turn) * tilt, math.sin(turn) * tilt, 1.0])
    light /= np.linalg.norm(light)
    shade = np.clip(light[0] * x + light[1] * y + light[2] * height, 0.0, 1.0)
    ball = colour * (0.25 + 0.75 * shade[..., None])
    across = abs(x * math.sin(turn + 1.0) + y * math.cos(turn + 1.0) - rng.uniform(-0.3, 0.3))
    band = np.clip((rng.uniform(0.02, 0.12) - across) * size_px / 4, 0.0, 1.0)[..., None]
    ball = ball * (1 - band) + np.array(_colour(rng)) * band
    if rng.random() < 0.5:
        spot = np.clip((0.15 - np.hypot(x - 0.2, y + 0.1)) * size_px / 4, 0.0, 1.0)[..., None]
        ball = ball * (1 - spot) + np.array(_colour(rng)) * spot
    ball[x * x + y * y > 1.0] = 0.0
    return _bytes(ball)


def ball_game(rng: np.random.Generator, size_px: int = 256) -> Picture:
    """A ball with curved seams, as a tennis ball or a basketball has."""
    colour, y, x = np.array(_colour(rng)), *_grid(size_px)
    height = np.sqrt(np.clip(1.0 - x * x - y * y, 0.0, 1.0))
    ball = colour * (0.3 + 0.7 * height[..., None])
    turn = rng.uniform(0, math.pi)
    u, v = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    for shift in (-0.55, 0.0, 0.55):
        seam = np.clip((0.03 - abs(u - shift - 0.3 * shift * v * v)) * size_px / 3, 0.0, 1.0)
        ball = ball * (1 - seam[..., None])
    ball[x * x + y * y > 1.0] = 0.0
    return _bytes(ball)


def noise(rng: np.random.Generator, size_px: int = 256) -> Picture:
    """White noise at a random scale."""
    cells = int(rng.integers(4, size_px))
    made = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
    return _bytes(cv2.resize(made, (size_px, size_px), interpolation=cv2.INTER_CUBIC))


def gradient(rng: np.random.Generator, size_px: int = 256) -> Picture:
    """One colour running into another, with a hard edge now and then."""
    y, x = _grid(size_px)
    turn = rng.uniform(0, 2 * math.pi)
    along = (x * math.cos(turn) + y * math.sin(turn)) * rng.uniform(0.4, 8.0) + 0.5
    share = np.clip(along, 0.0, 1.0)[..., None]
    return _bytes(np.array(_colour(rng)) * share + np.array(_colour(rng)) * (1 - share))


def stripes(rng: np.random.Generator, size_px: int = 256) -> Picture:
    """Parallel stripes of two colours."""
    y, x = _grid(size_px)
    turn, count = rng.uniform(0, math.pi), rng.uniform(1.0, 12.0)
    wave = np.sin((x * math.cos(turn) + y * math.sin(turn)) * math.pi * count) > 0.3
    return _bytes(np.where(wave[..., None], _colour(rng), _colour(rng)))


def checkers(rng: np.random.Generator, size_px: int = 256) -> Picture:
    """A chequered board."""
    cell = size_px / rng.integers(2, 12)
    places = np.arange(size_px) // cell
    odd = (places[:, None] + places[None, :]) % 2 > 0
    return _bytes(np.where(odd[..., None], _colour(rng), _colour(rng)))


def writing(rng: np.random.Generator, size_px: int = 256) -> Picture:
    """Lines of letters on paper."""
    out = np.full((size_px, size_px, 3), rng.uniform(150, 255), np.uint8)
    ink, scale = tuple(rng.uniform(0, 90, 3)), float(rng.uniform(0.4, 2.5))
    step = int(28 * scale)
    for row in range(step, size_px + step, step):
        letters = "".join(chr(int(code)) for code in rng.integers(65, 122, 30))
        cv2.putText(out, letters, (2, row), int(rng.integers(0, 8)), scale, ink, int(1 + scale))
    return out


def landscape(rng: np.random.Generator, size_px: int = 256) -> Picture:
    """Sky, hills one behind the other, and grass."""
    y, x = _grid(size_px)
    sky = np.array([235.0, 190.0, 140.0]) * rng.uniform(0.5, 1.05)
    out = np.broadcast_to(sky, (size_px, size_px, 3)) * (0.85 + 0.15 * y[..., None])
    for level in np.linspace(-0.3, 0.6, 4):
        phase = rng.uniform(0, 6, 3)
        crest = sum(np.sin(x * f + p) / f for f, p in zip((2, 5, 11), phase, strict=True))
        green = np.array([60.0, 130.0, 90.0]) * rng.uniform(0.4, 1.2)
        out = np.where((y > level + 0.3 * crest)[..., None], green, out)
    return _bytes(out + rng.normal(0, 8, (size_px, size_px, 1)))


def wood(rng: np.random.Generator, size_px: int = 256) -> Picture:
    """Planks with a grain and gaps between them."""
    y, x = _grid(size_px)
    grain = np.sin((x + 0.08 * np.sin(3 * y + rng.uniform(0, 6))) * rng.uniform(15, 60))
    brown = np.array([50.0, 100.0, 160.0]) * rng.uniform(0.6, 1.3)
    out = brown * (1.0 + 0.15 * grain[..., None])
    gap = abs((x * rng.uniform(1.0, 3.0) + 0.5) % 1.0 - 0.5) < 0.02
    return _bytes(np.where(gap[..., None], out * 0.2, out))


def cells(rng: np.random.Generator, size_px: int = 256) -> Picture:
    """Stained cells with nuclei, as under a microscope."""
    out = np.full((size_px, size_px, 3), (220.0, 200.0, 235.0), np.float32)
    stain = np.array(_colour(rng))
    for _ in range(int(rng.integers(10, 80))):
        place = tuple(int(v) for v in rng.uniform(0, size_px, 2))
        axes = tuple(int(v) for v in rng.uniform(size_px / 40, size_px / 9, 2))
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(out, place, axes, turn, 0, 360, tuple(0.5 * stain + 110), -1, cv2.LINE_AA)
        nucleus = (axes[0] // 3 + 1, axes[1] // 3 + 1)
        cv2.ellipse(out, place, nucleus, turn, 0, 360, tuple(0.4 * stain), -1, cv2.LINE_AA)
    return _bytes(cv2.GaussianBlur(out, (0, 0), 1.2))


def rings(rng: np.random.Generator, size_px: int = 256) -> Picture:
    """Concentric rings: a target, a record, a gauge with a hand."""
    y, x = _grid(size_px)
    wave = np.sin(np.hypot(x, y) * rng.uniform(6, 40)) > 0
    out = np.where(wave[..., None], _colour(rng), _colour(rng))
    turn = rng.uniform(0, math.pi)
    hand = abs(x * math.sin(turn) + y * math.cos(turn)) < 0.04
    return _bytes(np.where(hand[..., None], _colour(rng), out))


def machine_part(rng: np.random.Generator, size_px: int = 256) -> Picture:
    """A grey metal part: a plate with holes, bolts and a slot."""
    out = np.full((size_px, size_px, 3), rng.uniform(70, 190), np.float32)
    out += rng.normal(0, 6, (size_px, 1, 1)).astype(np.float32)
    for _ in range(int(rng.integers(2, 9))):
        place = tuple(int(v) for v in rng.uniform(0, size_px, 2))
        radius = int(rng.uniform(size_px / 30, size_px / 6))
        cv2.circle(out, place, radius, (float(rng.uniform(10, 240)),) * 3, -1, cv2.LINE_AA)
        cv2.circle(out, place, max(radius // 2, 1), (20.0, 20.0, 20.0), -1, cv2.LINE_AA)
    first, second = (tuple(int(v) for v in rng.uniform(0, size_px, 2)) for _ in range(2))
    cv2.line(out, first, second, (15.0, 15.0, 15.0), int(rng.uniform(4, 20)), cv2.LINE_AA)
    return _bytes(out)


def leaves(rng: np.random.Generator, size_px: int = 256) -> Picture:
    """Leaves over each other, each with a midrib."""
    out = np.zeros((size_px, size_px, 3), np.float32)
    for _ in range(int(rng.integers(6, 30))):
        place = tuple(int(v) for v in rng.uniform(0, size_px, 2))
        length, turn = rng.uniform(size_px / 8, size_px / 2), float(rng.uniform(0, 180))
        green = tuple(np.array([50.0, 150.0, 80.0]) * rng.uniform(0.3, 1.5))
        axes = (int(length), int(length / rng.uniform(2, 4)))
        cv2.ellipse(out, place, axes, turn, 0, 360, green, -1, cv2.LINE_AA)
        along = np.array([math.cos(math.radians(turn)), math.sin(math.radians(turn))]) * length
        ends = [tuple(int(v) for v in np.array(place) + sign * along) for sign in (1, -1)]
        cv2.line(out, *ends, tuple(0.6 * v + 70 for v in green), 2, cv2.LINE_AA)
    return _bytes(out)


DRAWN: Mapping[str, Callable[[np.random.Generator], Picture]] = {
    "orange disc": orange_disc,
    "coloured disc": coloured_disc,
    "shaded ball": shaded_ball,
    "ball with seams": ball_game,
    "noise": noise,
    "gradient": gradient,
    "stripes": stripes,
    "checkers": checkers,
    "writing": writing,
    "landscape": landscape,
    "wood": wood,
    "cells": cells,
    "rings": rings,
    "machine part": machine_part,
    "leaves": leaves,
}
"""Every drawn kind by its name."""


def drawn(kind: str, count: int) -> Iterator[Picture]:
    """``count`` pictures of a kind, the same ones every time."""
    name = list(DRAWN).index(kind)
    for index in range(count):
        yield DRAWN[kind](np.random.default_rng([41, name, index]))


def _disc(rng: np.random.Generator, size_px: int, colour: Colour, ink: Colour) -> Picture:
    y, x = _grid(size_px)
    disc = np.where((x * x + y * y <= 1.0)[..., None], colour, 0.0).astype(np.float32)
    turn, away = rng.uniform(0, math.pi), rng.uniform(-0.2, 0.2)
    width = rng.uniform(0.015, 0.08)
    across = abs(x * math.sin(turn) + y * math.cos(turn) - away)
    line = np.clip((width - across) * size_px / 2, 0.0, 1.0)[..., None]
    line = line * (x * x + y * y <= rng.uniform(0.6, 1.0))[..., None]
    return _bytes(disc * (1 - line) + np.array(ink) * line)


def _colour(rng: np.random.Generator) -> Colour:
    blue, green, red = (float(v) for v in rng.uniform(15, 245, 3))
    return blue, green, red


def _grid(size_px: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    axis = (np.arange(size_px) + 0.5) / (size_px / 2) - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return y, x


def _bytes(picture: NDArray[np.floating]) -> Picture:
    return np.clip(picture, 0, 255).astype(np.uint8)
