"""Lamp and camera: uneven light, gloss, down, blur, colour, noise, compression."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.simulator.noise import Field, between, chance, smooth_field, smoothstep
from agent.simulator.varieties import Variety


def light_field(rng: np.random.Generator, axes: tuple[Field, Field]) -> Field:
    """Brightness factor on the coarse grid: a lamp from a side, a round fruit, soft shadows."""
    x, y = axes
    slope = rng.normal(0, 0.12, 2)
    r2 = x * x + y * y
    light = 1 - np.float32(between(rng, -0.05, 0.35)) * r2
    light += np.float32(slope[0]) * x + np.float32(slope[1]) * y
    light += np.float32(between(rng, 0.0, 0.07)) * smooth_field(rng, x.shape[0], 4)
    if chance(rng, 0.4):  # the fruit turns away at its limb
        light *= 1 - np.float32(between(rng, 0.2, 0.7)) * smoothstep(
            r2, between(rng, 0.55, 0.8), 1.05
        )
    return np.clip(light, 0.15, 1.6)


def gloss_field(rng: np.random.Generator, axes: tuple[Field, Field], count: int) -> Field:
    """What shines: soft white reflections of the lamps, added to the picture."""
    x, y = axes
    shine = np.zeros_like(x)
    for _ in range(count):
        cx, cy = rng.normal(0, 0.45, 2)
        a = between(rng, 0, np.pi)
        u = (x - np.float32(cx)) * np.float32(np.cos(a)) + (y - np.float32(cy)) * np.float32(
            np.sin(a)
        )
        v = (y - np.float32(cy)) * np.float32(np.cos(a)) - (x - np.float32(cx)) * np.float32(
            np.sin(a)
        )
        long, wide = between(rng, 0.05, 0.35), between(rng, 0.03, 0.16)
        bell = np.exp(-((u / np.float32(long)) ** 2 + (v / np.float32(wide)) ** 2))
        shine += np.float32(between(rng, 0.05, 0.45)) * bell
    return shine


def illuminate(
    rng: np.random.Generator,
    colour: NDArray[np.float32],
    variety: Variety,
    coarse_axes: tuple[Field, Field],
) -> None:
    """Light, gloss and down, in place."""
    size = colour.shape[0]
    light = light_field(rng, coarse_axes)
    if chance(rng, variety.gloss):
        shine = gloss_field(rng, coarse_axes, int(rng.integers(1, 4)))
    else:
        shine = np.zeros_like(light)
    fine = (size, size)
    colour *= cv2.resize(light, fine, interpolation=cv2.INTER_LINEAR)[..., None]
    haze = np.float32(variety.fuzz * between(rng, 0.0, 0.12))
    shine = np.asarray(cv2.resize(shine, fine, interpolation=cv2.INTER_LINEAR), np.float32)
    if variety.fuzz > 0 and chance(rng, 0.6):  # down: a faint bright grain
        grain = cv2.resize(rng.standard_normal((size // 2, size // 2), dtype=np.float32), fine)
        shine += np.float32(variety.fuzz * between(rng, 0.0, 0.035)) * grain
    colour *= 1 - haze
    colour += shine[..., None] + haze * np.float32(0.6)


def expose(
    rng: np.random.Generator, colour: NDArray[np.float32], noise: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """What the camera makes of it: (S, S, 3) uint8 BGR. ``noise`` is a (S, S, 3) unit normal."""
    size = colour.shape[0]
    scale = size / 256.0
    gain = between(rng, 0.72, 1.18) * (1 + rng.normal(0, 0.05, 3))
    tone = between(rng, 0.8, 1.25)
    sigma = scale * between(rng, 0.35, 1.7)
    if sigma > 0.3:
        colour = np.asarray(cv2.GaussianBlur(colour, (0, 0), sigma), np.float32)
    colour = np.maximum(colour * gain.astype(np.float32), 0)
    if chance(rng, 0.5):
        colour = np.asarray(cv2.pow(colour, tone), np.float32)
    if chance(rng, 0.7):  # saturation of the camera's colour processing
        grey = colour.mean(2, keepdims=True)
        colour = grey + (colour - grey) * np.float32(between(rng, 0.65, 1.35))
    picture = colour * np.float32(255)
    strength = between(rng, 0.2, 1.0) if chance(rng, 0.6) else between(rng, 1.0, 4.0)
    picture += noise * np.float32(strength)
    out = np.clip(picture, 0, 255).astype(np.uint8)
    if chance(rng, 0.35):
        quality = int(rng.integers(55, 95))
        out = cv2.imdecode(cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)
    return np.asarray(out, np.uint8)
