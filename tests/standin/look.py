"""How another line's fruit looks: its skins, its sutures, its hollow, its lamp and its camera.

Of the simulator only the ground colour of the skin is used, with ramps of its own; suture, stem,
light and camera are painted by other means, so that what a model learnt of the simulator's way of
painting helps it little. Coordinates, layouts and masks are the simulator's.
"""

from __future__ import annotations

import math
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.simulator.layout import Layout, Stem
from agent.simulator.noise import Field, between, chance, smooth_field, smooth_line, smoothstep
from agent.simulator.varieties import Variety

Planes = NDArray[np.float32]

SKINS = (
    Variety(
        "cream",
        ((250, 238, 206), (246, 220, 182), (238, 180, 150), (206, 104, 96), (150, 48, 60)),
        0.22, 0.16, 0.2, 0.5, 0.2,
    ),
    Variety(
        "crimson",
        ((232, 160, 96), (206, 88, 60), (168, 40, 42), (120, 20, 34), (70, 12, 26)),
        0.62, 0.14, 0.1, 0.0, 0.0,
    ),
    Variety(
        "straw",
        ((236, 232, 150), (226, 206, 104), (214, 166, 74), (178, 110, 58), (120, 66, 44)),
        0.30, 0.24, 0.5, 0.4, 0.1,
    ),
)  # fmt: skip
"""RGB ramps of no variety that the simulator trains on; ``gloss`` is this camera's own affair."""


class SutureForm(StrEnum):
    WIDE = "wide"
    BRIGHT = "bright"
    INTERRUPTED = "interrupted"
    WEDGE = "wedge"


def lay_suture(
    rng: np.random.Generator,
    planes: Planes,
    layout: Layout,
    form: SutureForm,
    contrast: float,
    ink: float,
) -> None:
    """Darken or brighten ``planes`` (3, S, S), in place, along the layout's line. ``contrast`` is
    the largest change as a share of the skin's brightness; ``ink`` 0 leaves it out."""
    size = planes.shape[1]
    x, y = _axes(size)
    dx, dy = layout.direction()
    along = x * np.float32(dx) + y * np.float32(dy)
    reach = np.asarray(np.clip((along + 1) / 2, 0, 1), np.float32)
    wander = 0.012 * _along(smooth_line(rng, 512, 7), reach)
    ragged = 0.008 * smooth_field(rng, size, 48)
    away = layout.distance(x, y) + wander + ragged
    strength = np.clip(0.8 + 0.3 * _along(smooth_line(rng, 512, 6), reach), 0.3, 1.2)
    width = np.full_like(away, between(rng, 0.016, 0.03))
    sign = -1.0
    if form is SutureForm.WIDE:
        width *= between(rng, 2.0, 3.2)
    elif form is SutureForm.BRIGHT:
        sign = 1.0
        width *= between(rng, 0.8, 1.5)
    elif form is SutureForm.INTERRUPTED:
        pieces = smooth_line(rng, 512, int(rng.integers(7, 14))) + np.float32(
            between(rng, -0.1, 0.4)
        )
        strength *= smoothstep(_along(pieces, reach), -0.05, 0.2)
    else:
        turn = 1.0 if chance(rng, 0.5) else -1.0
        width *= np.clip(0.5 + 1.6 * (0.5 + 0.5 * np.float32(turn) * along), 0.5, 2.2)
    # A flat floor with soft shoulders: no bell, as the simulator's groove is.
    change = np.float32(sign * contrast * ink) * strength * _shoulder(away, width)
    tint = (1.0, 0.9, 0.75) if sign < 0 else (1.1, 1.0, 0.8)
    for plane, much in zip(planes, tint, strict=True):
        plane *= 1 + np.float32(much) * change


def lay_hollow(rng: np.random.Generator, planes: Planes, stem: Stem) -> None:
    """Paint the stem cavity on ``planes``, in place: a shallow bowl that is half as deep at the
    ellipse's edge, lit from one side, with a pale collar and mostly the stump of a stalk."""
    size = planes.shape[1]
    x, y = _axes(size)
    tilt = math.radians(stem.tilt_deg)
    u = (x - np.float32(stem.x)) * np.float32(math.cos(tilt)) - (
        y - np.float32(stem.y)
    ) * np.float32(math.sin(tilt))
    v = (x - np.float32(stem.x)) * np.float32(math.sin(tilt)) + (
        y - np.float32(stem.y)
    ) * np.float32(math.cos(tilt))
    p, q = u / np.float32(stem.a), v / np.float32(stem.b)
    rho = np.hypot(p, q) + np.float32(0.03) * smooth_field(rng, size, 40)
    bowl = 1 - smoothstep(rho, 0.8, 1.2)
    lamp = between(rng, 0, 2 * math.pi)
    lit = p * np.float32(math.cos(lamp)) + q * np.float32(math.sin(lamp))
    deep = np.float32(between(rng, 0.12, 0.5)) * (1 - np.float32(0.3) * np.clip(lit, -1, 1))
    shade = 1 - bowl * deep * (1 - np.float32(0.4) * np.clip(rho, 0, 1))
    collar = np.exp(-(((rho - np.float32(1.12)) / np.float32(0.12)) ** 2))
    shade += np.float32(between(rng, 0.0, 0.18)) * collar
    planes *= shade
    green = np.float32(between(rng, 0.0, 0.3)) * bowl
    _tint(planes, (0.22, 0.46, 0.42), green)
    if chance(rng, 0.7):
        stump = 1 - smoothstep(rho, between(rng, 0.1, 0.2), between(rng, 0.24, 0.36))
        tone = between(rng, 0.15, 0.5)
        _tint(planes, (0.5 * tone, 0.8 * tone, tone), np.float32(0.9) * stump)


def photograph(
    rng: np.random.Generator, planes: Planes, lamp: float, aperture: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """What this line's camera makes of ``planes`` (3, S, S): (S, S, 3) uint8 BGR.

    A ring of separate lights whose reflections are small and hard, light that falls off towards
    the border, a lens that is soft and splits colours there, a cool white balance, and a cheap
    sensor: shot noise that grows with the light, and rows that differ. ``lamp`` scales the light.
    """
    size = planes.shape[1]
    x, y = _axes(size)
    r2 = x * x + y * y
    light = np.float32(lamp) * (1 - np.float32(between(rng, 0.35, 0.55)) * r2 * (1 - r2 / 4))
    picture = np.stack(list(planes), 2) * light[:, :, None]
    count, turn = int(rng.integers(5, 9)), between(rng, 0, 2 * math.pi)
    ring, spot = between(rng, 0.45, 0.65), between(rng, 0.012, 0.03)
    for number in range(count):
        if chance(rng, 0.35):  # hidden by the fruit's form
            continue
        at = turn + 2 * math.pi * number / count
        cx, cy = ring * math.cos(at), ring * math.sin(at)
        gap = (x - np.float32(cx)) ** 2 + (y - np.float32(cy)) ** 2
        glint = np.exp(-gap / np.float32(2 * spot * spot))
        picture += np.float32(between(rng, 0.1, 0.55)) * glint[:, :, None]
    scale = size / 256
    soft = cv2.GaussianBlur(picture, (0, 0), scale * between(rng, 1.8, 3.0))
    sharp = cv2.GaussianBlur(picture, (0, 0), scale * between(rng, 0.5, 1.0))
    edge = smoothstep(r2, 0.25, 1.0)[:, :, None]
    picture = sharp * (1 - edge) + soft * edge
    for channel, grow in ((0, 1.006), (2, 0.994)):
        centre = (size - 1) / 2
        matrix = np.array(
            [[grow, 0, centre * (1 - grow)], [0, grow, centre * (1 - grow)]], np.float64
        )
        picture[:, :, channel] = cv2.warpAffine(
            np.ascontiguousarray(picture[:, :, channel]), matrix, (size, size),
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
    picture *= np.array([1.08, 1.0, 0.93], np.float32)
    bright = np.clip(picture, 0, 1)
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    picture += noise * np.float32(between(rng, 0.012, 0.028)) * np.sqrt(bright + np.float32(0.05))
    rows = rng.standard_normal((size, 1, 1), dtype=np.float32)
    picture += rows * np.float32(between(rng, 0.001, 0.004))
    shown = np.clip(picture, 0, 1) ** np.float32(between(rng, 0.75, 0.95))
    out = np.asarray((shown * 255 + 0.5).astype(np.uint8))
    out[~aperture] = 0
    return out


def _shoulder(away: Field, width: Field) -> Field:
    t = np.clip((np.abs(away) / width - np.float32(0.5)) / np.float32(0.9), 0, 1)
    return np.asarray(1 - t * t * (3 - 2 * t), np.float32)


def _along(line: Field, reach: Field) -> Field:
    """Values of ``line`` (N,) at ``reach`` (S, S) in 0..1."""
    return np.asarray(np.interp(reach, np.linspace(0, 1, len(line)), line), np.float32)


def _tint(planes: Planes, bgr: tuple[float, float, float], cover: Field) -> None:
    for plane, tone in zip(planes, bgr, strict=True):
        plane *= 1 - cover
        plane += np.float32(tone) * cover


def _axes(size: int) -> tuple[Field, Field]:
    line = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size / 2) - 1
    x, y = np.meshgrid(line, line)
    return np.asarray(x, np.float32), np.asarray(y, np.float32)
