"""The stem cavity: a ringed hollow, with or without the woody scar."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.simulator.layout import Stem
from agent.simulator.noise import Field, between, chance, fractal_field, smooth_line, smoothstep

PATCH_PX = 96
Lay = Callable[[NDArray[np.float32], Field], None]

EXTENT = 1.9
"""Half width of the patch in semi-axes: the halo reaches beyond the cavity."""


def _tone(rng: np.random.Generator, ground: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colour of the hollow: olive, grey-brown or the ground itself, darker."""
    olive = np.array([0.14, 0.44, 0.50], np.float32)
    brown = np.array([0.13, 0.27, 0.42], np.float32)
    grey = np.array([0.30, 0.40, 0.46], np.float32)
    mix = rng.dirichlet([0.8, 0.6, 0.5, 0.8])
    tone = mix[0] * olive + mix[1] * brown + mix[2] * grey + mix[3] * ground * 0.7
    return np.asarray(tone * between(rng, 0.6, 1.25), np.float32)


def paint_patch(
    rng: np.random.Generator, ground: NDArray[np.float32]
) -> tuple[NDArray[np.float32], Field]:
    """Premultiplied BGR (P, P, 3) and opacity (P, P) of a round cavity of radius 1.

    ``ground`` is the skin's colour around it, (3,) BGR.
    """
    axis = np.linspace(-EXTENT, EXTENT, PATCH_PX, dtype=np.float32)
    x, y = (
        np.broadcast_to(axis[None, :], (PATCH_PX,) * 2),
        np.broadcast_to(axis[:, None], (PATCH_PX,) * 2),
    )
    rho = np.hypot(x, y)
    turn = np.arctan2(y, x) % np.float32(2 * np.pi)
    spokes = 128
    index = (turn * np.float32(spokes / (2 * np.pi))).astype(np.int32) % spokes
    wobble = _closed_line(rng, spokes, 5) * np.float32(between(rng, 0.02, 0.09))
    rho = rho * (1 + wobble)[index]
    grain = np.clip(1 + 0.3 * fractal_field(rng, PATCH_PX, 7, 3), 0.2, 1.25)
    paint = np.zeros((PATCH_PX, PATCH_PX, 3), np.float32)
    cover = np.zeros((PATCH_PX, PATCH_PX), np.float32)

    def lay(colour: NDArray[np.float32], alpha: Field) -> None:
        nonlocal paint, cover
        alpha = np.minimum(alpha * grain, 1)
        keep = 1 - alpha
        paint = paint * keep[..., None] + alpha[..., None] * colour
        cover = cover * keep + alpha

    tone = _tone(rng, ground)
    if chance(rng, 0.6):  # halo: a greenish, pale or dusky surround
        halo = ground * np.float32(between(rng, 0.7, 1.2)) + np.float32(rng.normal(0, 0.03))
        lay(
            halo.astype(np.float32),
            (1 - smoothstep(rho, 0.8, 1.85)) * np.float32(between(rng, 0.1, 0.6)),
        )
    depth = between(rng, 0.35, 0.95)
    lay(tone, (1 - smoothstep(rho, between(rng, 0.55, 0.9), 1.03)) * np.float32(depth))
    rim = tone * np.float32(between(rng, 0.3, 0.75))
    for where, strength in (
        (between(rng, 0.78, 0.95), between(rng, 0.2, 0.9)),
        (between(rng, 0.4, 0.65), 0.5),
    ):
        if where < 0.7 and not chance(rng, 0.45):
            continue
        width = between(rng, 0.05, 0.17)
        around = np.clip(0.65 + 0.65 * _closed_line(rng, spokes, 5), 0, 1)[index]
        ring = np.exp(-(((rho - np.float32(where)) / np.float32(width)) ** 2) / 2)
        lay(rim, (np.float32(strength) * ring * around).astype(np.float32))
    # A lamp from one side: the near wall is dark, the far wall lit.
    angle = between(rng, 0, 2 * np.pi)
    facing = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    wall = smoothstep(rho, 0.1, 0.7) * (1 - smoothstep(rho, 0.8, 1.1))
    lean = np.float32(between(rng, 0, 0.35)) * wall * facing
    lay(np.zeros(3, np.float32), np.clip(lean, 0, 1).astype(np.float32))
    lay(np.minimum(ground * 1.2, 1), np.clip(-lean, 0, 1).astype(np.float32))
    if chance(rng, 0.7):
        _scar(rng, x, y, lay)
    elif chance(rng, 0.6):  # a bare deep pit
        lay(
            tone * np.float32(0.25),
            ((1 - smoothstep(rho, 0.05, between(rng, 0.25, 0.6))) * np.float32(0.8)),
        )
    if chance(rng, 0.6):  # seldom as sharp as the skin around it
        sigma = between(rng, 0.6, 2.2)
        paint = np.asarray(cv2.GaussianBlur(paint, (0, 0), sigma), np.float32)
        cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), sigma), np.float32)
    return paint, cover


def _scar(rng: np.random.Generator, x: Field, y: Field, lay: Lay) -> None:
    """Where the stalk was: wood, a dark heart, a fleck of light."""
    at = rng.normal(0, 0.08, 2).astype(np.float32)
    near = np.hypot(x - at[0], y - at[1])
    radius = between(rng, 0.16, 0.42)
    wood = np.array([0.20, 0.33, 0.46], np.float32) * np.float32(between(rng, 0.35, 1.5))
    lay(
        wood,
        ((1 - smoothstep(near, radius * 0.7, radius * 1.15)) * np.float32(between(rng, 0.6, 1.0))),
    )
    if chance(rng, 0.7):
        heart = radius * between(rng, 0.4, 0.8)
        lay(
            np.array([0.08, 0.10, 0.12], np.float32),
            (1 - smoothstep(near, heart * 0.5, heart)) * np.float32(0.85),
        )
    if chance(rng, 0.6):
        spot = np.hypot(
            x - at[0] - between(rng, -0.25, 0.25), y - at[1] - between(rng, -0.25, 0.25)
        )
        fleck = np.array([0.55, 0.75, 0.80], np.float32)
        lay(
            fleck,
            (1 - smoothstep(spot, 0.04, between(rng, 0.09, 0.2)))
            * np.float32(between(rng, 0.3, 0.9)),
        )


def _closed_line(rng: np.random.Generator, length: int, cells: int) -> Field:
    line = smooth_line(rng, length, cells)
    fade = np.linspace(0, 1, length // 4, dtype=np.float32)
    line[-len(fade) :] = line[-len(fade) :] * (1 - fade) + line[0] * fade
    return line


def lay_stem(rng: np.random.Generator, colour: NDArray[np.float32], stem: Stem) -> None:
    """Warp the cavity onto ``colour`` (S, S, 3), in place; only its own box is touched."""
    size = colour.shape[0]
    half = size / 2.0
    cx, cy = (stem.x + 1) * half - 0.5, (stem.y + 1) * half - 0.5
    reach = EXTENT * stem.a * half + 2
    x0, x1 = max(0, int(cx - reach)), min(size, int(cx + reach) + 1)
    y0, y1 = max(0, int(cy - reach)), min(size, int(cy + reach) + 1)
    if x0 >= x1 or y0 >= y1:
        return
    box = colour[y0:y1, x0:x1]
    paint, cover = paint_patch(rng, box.mean((0, 1)))
    a = np.radians(stem.tilt_deg)
    c, s = np.cos(a), -np.sin(a)
    unit = 2 * EXTENT / (PATCH_PX - 1)  # semi-axes per patch pixel
    mid = (PATCH_PX - 1) / 2
    m = np.array([[c * stem.a, -s * stem.b], [s * stem.a, c * stem.b]]) * (half * unit)
    shift = np.array([cx - x0, cy - y0]) - m @ np.array([mid, mid])
    to_box = np.concatenate([m, shift[:, None]], 1)
    shape = (x1 - x0, y1 - y0)
    laid = cv2.warpAffine(paint, to_box, shape)
    alpha = cv2.warpAffine(cover, to_box, shape)
    box *= 1 - alpha[..., None]
    box += laid
