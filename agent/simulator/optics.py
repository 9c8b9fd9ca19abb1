"""Lamp and camera: uneven light, gloss, down, blur, colour, noise, compression."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.simulator.layout import Layout
from agent.simulator.noise import Field, between, chance, smooth_field, smoothstep, turned
from agent.simulator.varieties import Variety

NOISE_ZERO, NOISE_UNIT = 128, 32


def light_field(rng: np.random.Generator, axes: tuple[Field, Field]) -> Field:
    """Brightness factor on the coarse grid: a lamp from a side, a round fruit, soft shadows."""
    x, y = axes
    slope = rng.normal(0, 0.10, 2)
    r2 = x * x + y * y
    light = 1 - np.float32(between(rng, -0.05, 0.22)) * r2
    light += np.float32(slope[0]) * x + np.float32(slope[1]) * y
    light += np.float32(between(rng, 0.0, 0.07)) * smooth_field(rng, x.shape[0], 4)
    if chance(rng, 0.35):  # the fruit turns away at its limb, on one side more than on the other
        turned = smoothstep(r2, between(rng, 0.55, 0.8), 1.05)
        light *= 1 - np.float32(between(rng, 0.1, 0.5)) * turned * one_sided(rng, axes)
    return np.clip(light, 0.15, 1.6)


def relief_field(rng: np.random.Generator, axes: tuple[Field, Field], layout: Layout) -> Field:
    """Brightness factor of the fruit's own form: the funnel in which the stem lies, darker where
    it turns away from the lamp, and two cheeks of which one is lit more than the other."""
    x, y = axes
    relief = np.ones_like(x)
    lamp = between(rng, 0, 2 * np.pi)
    lx, ly = float(np.cos(lamp)), float(np.sin(lamp))
    fx, fy = layout.foot()
    if chance(rng, 0.75):
        wide = between(rng, 0.2, 0.55)
        u, v = (x - np.float32(fx)) / np.float32(wide), (y - np.float32(fy)) / np.float32(wide)
        bell = np.exp(-(u * u + v * v))
        lean = np.float32(lx) * u + np.float32(ly) * v
        relief -= bell * (
            np.float32(between(rng, 0, 0.25)) + np.float32(between(rng, 0, 0.2)) * lean
        )
    if chance(rng, 0.6):
        dx, dy = layout.direction()
        side = layout.distance(x, y)
        facing = dx * ly - dy * lx  # how much the lamp shines across the suture
        slope = np.tanh(side / np.float32(between(rng, 0.04, 0.2)))
        fades = np.exp(-np.abs(side) / np.float32(between(rng, 0.2, 0.6)))
        relief += np.float32(between(rng, 0, 0.12) * facing) * slope * fades
    return np.asarray(relief, np.float32)


def one_sided(rng: np.random.Generator, axes: tuple[Field, Field]) -> Field:
    """Factor 0..1.6 that grows across the view in a random direction: no cup holds its fruit so
    straight, and no ring lamp shines so evenly, that a limb looks the same all around."""
    turn, much = between(rng, 0, 2 * np.pi), between(rng, 0.2, 1.2)
    across = axes[0] * np.float32(np.cos(turn)) + axes[1] * np.float32(np.sin(turn))
    return np.asarray(np.clip(1 + np.float32(much) * across, 0, 1.6), np.float32)


def gloss_field(rng: np.random.Generator, axes: tuple[Field, Field], count: int) -> Field:
    """What shines: soft white reflections of the lamps, added to the picture; skin breaks them."""
    shine = np.zeros_like(axes[0])
    for _ in range(count):
        cx, cy = rng.normal(0, 0.45, 2)
        u, v = turned(axes, (cx, cy), between(rng, 0, np.pi))
        long, wide = between(rng, 0.15, 0.6), between(rng, 0.08, 0.3)
        bell = np.exp(-((u / np.float32(long)) ** 2 + (v / np.float32(wide)) ** 2))
        shine += np.float32(between(rng, 0.03, 0.25)) * bell
    broken = np.clip(0.8 + 0.4 * smooth_field(rng, len(shine), 14), 0, 2)
    return np.asarray(shine * broken, np.float32)


def illuminate(
    rng: np.random.Generator,
    planes: NDArray[np.float32],
    variety: Variety,
    axes: tuple[Field, Field],
    layout: Layout | None = None,
) -> None:
    """Light, gloss and down's haze on the coarse ``planes`` (3, H, H), in place: none of them has
    detail. A lamp's light is a little warmer on one side than on the other. ``layout``: of the
    fruit whose relief catches the light."""
    light = light_field(rng, axes)
    if layout is not None:
        light *= relief_field(rng, axes, layout)
    haze = np.float32(variety.fuzz * between(rng, 0.0, 0.10))
    planes *= light * (1 - haze)
    planes += haze * np.float32(0.6)
    warm = np.float32(rng.normal(0, 0.04)) * axes[0] + np.float32(rng.normal(0, 0.04)) * axes[1]
    planes[0] *= 1 - warm
    if chance(rng, variety.gloss):
        shine = gloss_field(rng, axes, int(rng.integers(1, 4)))
        planes *= 1 + shine  # down scatters most of it in the skin's own colour
        white = np.array([0.55, 0.85, 1.0], np.float32) * np.float32(between(rng, 0.1, 0.5))
        planes += white[:, None, None] * shine
    if chance(rng, 0.4):  # stray light at the limb, bluer than the lamp
        rim = smoothstep(axes[0] ** 2 + axes[1] ** 2, between(rng, 0.6, 0.85), 1.08)
        rim *= np.float32(between(rng, 0.1, 0.5)) * one_sided(rng, axes)
        stray = np.array([0.36, 0.30, 0.36], np.float32) * np.float32(between(rng, 0.6, 1.3))
        planes *= 1 - rim
        planes += stray[:, None, None] * rim


def noise_sheet(rng: np.random.Generator, side_px: int) -> NDArray[np.uint8]:
    """(side, side, 3) of normals as ``NOISE_ZERO`` + ``NOISE_UNIT`` times their value: bytes,
    which are added to a picture several times as fast as floats. Green has the unit deviation; a
    sensor sees least of the blue, and what is amplified most is noisiest."""
    normal = rng.standard_normal((side_px, side_px, 3), dtype=np.float32)
    normal *= np.array([1.5, 1.0, 1.1], np.float32)
    return np.clip(NOISE_ZERO + NOISE_UNIT * normal, 0, 255).astype(np.uint8)


def expose(
    rng: np.random.Generator,
    planes: NDArray[np.float32],
    noise: NDArray[np.uint8],
    stop: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """What the camera makes of ``planes`` (3, S, S): (S, S, 3) uint8 BGR, bright parts burnt out.

    ``noise`` (S, S, 3) comes from ``noise_sheet``; ``stop`` (S, S) is 0 where a ring in front of
    the lens may keep the light out: its edge then bleeds inwards, as compressed pictures show it.
    A camera reads its sensor, mixes colours, bends the tone, sharpens and compresses, in this
    order.
    """
    scale = planes.shape[1] / 256.0
    colour = cv2.merge([planes[0], planes[1], planes[2]])
    picture = cv2.convertScaleAbs(colour, alpha=225.0)
    sigma = scale * between(rng, 0.4, 1.5)
    if sigma > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    strength = between(rng, 0.3, 1.5) if chance(rng, 0.8) else between(rng, 1.5, 4.0)
    share = strength / NOISE_UNIT
    picture = cv2.addWeighted(picture, 1.0, noise, share, -NOISE_ZERO * share)
    if chance(rng, 0.4):  # noise taken out, and some of the detail with it
        picture = cv2.GaussianBlur(picture, (0, 0), scale * between(rng, 0.4, 0.9))
    picture = cv2.transform(picture, _colour_matrix(rng, np.asarray(picture, np.uint8)))
    tone = (np.arange(256) / 255.0) ** between(rng, 0.8, 1.25)
    if chance(rng, 0.5):  # the steeper middle of a camera's tone curve
        tone += between(rng, 0.2, 0.8) * (tone * tone * (3 - 2 * tone) - tone)
    picture = cv2.LUT(picture, np.clip(255.0 * tone, 0, 255).astype(np.uint8))
    if chance(rng, 0.6) and stop is not None:
        picture = cv2.bitwise_and(picture, picture, mask=stop)
    if chance(rng, 0.5):  # sharpened, with a halo
        soft = cv2.GaussianBlur(picture, (0, 0), scale * between(rng, 0.8, 1.8))
        much = between(rng, 0.2, 0.9)
        picture = cv2.addWeighted(picture, 1 + much, soft, -much, 0)
    if chance(rng, 0.75):
        picture = _compress(rng, picture)
    return np.asarray(picture, np.uint8)


def _compress(rng: np.random.Generator, picture: cv2.typing.MatLike) -> cv2.typing.MatLike:
    """Block compression with colour at half the resolution, half the time of a smaller picture
    that is enlarged afterwards: then neither its blocks nor its sharpness are the sensor's."""
    side = picture.shape[0]
    sent = round(side * between(rng, 0.55, 0.95)) if chance(rng, 0.5) else side
    if sent < side:
        picture = cv2.resize(picture, (sent, sent), interpolation=cv2.INTER_AREA)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 97))]
    shown = np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR))
    if sent < side:
        return cv2.resize(shown, (side, side), interpolation=cv2.INTER_CUBIC)
    return shown


def _colour_matrix(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(3, 3): exposure, white balance and saturation of the camera's colour processing.

    The exposure is automatic: it lets few pixels burn out, as a burnt-out yellow turns to lemon.
    """
    gain = between(rng, 0.85, 1.35)
    sampled = picture[::8, ::8].max(2).ravel()
    high = len(sampled) * 9 // 10
    brightest = float(np.partition(sampled, high)[high])
    gain = min(gain, between(rng, 235.0, 290.0) / max(brightest, 1.0))
    balance = gain * (1 + rng.normal(0, 1, 3) * (0.06, 0.02, 0.02))
    saturation = between(rng, 0.85, 1.4) if chance(rng, 0.7) else 1.0
    grey = np.full((3, 3), 1 / 3)
    return np.asarray((grey + saturation * (np.eye(3) - grey)) * balance[None, :])
