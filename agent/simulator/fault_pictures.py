"""Faults that change a picture: lamp, lens, camera mount, sensor and cable.

Each is a pure function (image, level, rng, previous) -> image on (H, W, 3) uint8 BGR. ``level`` is
0..1; ``rng`` is the same for every picture of one fault where the fault is a thing that stays
(dust, a droplet) and fresh for each picture otherwise; ``previous`` is the picture before, for torn
ones.
"""

# ruff: noqa: ARG001 - one signature for all faults, whatever each of them needs

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Change = Callable[[Image, float, np.random.Generator, Image], Image]
SENSOR_NOISE = 1.0
"""Grey levels, of a picture without light."""


@dataclass(frozen=True, slots=True)
class PictureFault:
    """``stays``: the same thing in every picture."""

    change: Change
    stays: bool = False


def _gain(most: float | tuple[float, float, float]) -> Change:
    """Brighter by the share ``most`` at full level, of all colours or of blue, green and red."""

    def change(image: Image, level: float, rng: np.random.Generator, previous: Image) -> Image:
        lit = image * np.asarray(1 + np.asarray(most) * level, np.float32)
        return np.asarray(np.clip(lit, 0, 255), np.uint8)

    return change


def _lamp_off(image: Image, level: float, rng: np.random.Generator, previous: Image) -> Image:
    """The share ``level`` of the light is lost; the sensor's own noise is what stays."""
    lit = image * np.float32(1 - level)
    noise = rng.standard_normal(image.shape, dtype=np.float32) * SENSOR_NOISE
    return np.asarray(np.rint(lit + noise).clip(0, 255), np.uint8)


def _lamp_flicker(image: Image, level: float, rng: np.random.Generator, previous: Image) -> Image:
    return _gain(-0.8 * level)(image, rng.random(), rng, previous)


def _colour_order(image: Image, level: float, rng: np.random.Generator, previous: Image) -> Image:
    return np.ascontiguousarray(image[..., ::-1])


def _defocus(image: Image, level: float, rng: np.random.Generator, previous: Image) -> Image:
    return np.asarray(
        cv2.GaussianBlur(image, (0, 0), 0.1 + image.shape[0] * 0.035 * level), np.uint8
    )


def _lens_smear(image: Image, level: float, rng: np.random.Generator, previous: Image) -> Image:
    """Grease: a hazy, blurred band across the view."""
    height, width = image.shape[:2]
    soft = cv2.GaussianBlur(image, (0, 0), width * 0.03).astype(np.float32) * 0.8 + 40
    line = np.float32(rng.uniform(0, np.pi))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    away = x * np.cos(line) + y * np.sin(line) - np.float32(rng.uniform(-0.3, 0.3))
    alpha = (level * np.exp(-((away / 0.4) ** 2)))[..., None]
    return np.asarray(image * (1 - alpha) + soft * alpha, np.float32).clip(0, 255).astype(np.uint8)


def _droplet(image: Image, level: float, rng: np.random.Generator, previous: Image) -> Image:
    """A drop on the lens: a little picture upside down in it, with a dark edge."""
    height, width = image.shape[:2]
    radius = int(width * (0.05 + 0.17 * level))
    cx, cy = (int(v) for v in rng.uniform(0.3, 0.7, 2) * (width, height))
    x0, y0 = max(0, cx - radius), max(0, cy - radius)
    box = image[y0 : cy + radius, x0 : cx + radius]
    seen = cv2.GaussianBlur(box[::-1, ::-1], (0, 0), 1.5)
    disc = np.zeros(box.shape[:2], np.uint8)
    cv2.circle(disc, (cx - x0, cy - y0), radius - 2, 255, -1, cv2.LINE_AA)
    out = image.copy()
    target = out[y0 : cy + radius, x0 : cx + radius]
    target[disc > 127] = seen[disc > 127]
    cv2.circle(out, (cx, cy), radius - 1, (60, 60, 60), 2, cv2.LINE_AA)
    return out


def _dust(image: Image, level: float, rng: np.random.Generator, previous: Image) -> Image:
    height, width = image.shape[:2]
    layer = np.zeros((height, width), np.uint8)
    for _ in range(int(120 * level)):
        x, y = rng.uniform(0, 16, 2) * (width, height)
        radius = int(rng.uniform(0.002, 0.012) * width * 16)
        cv2.circle(layer, (int(x), int(y)), radius, int(rng.integers(80, 220)), -1, cv2.LINE_AA, 4)
    keep = 1 - cv2.GaussianBlur(layer, (0, 0), width * 0.004).astype(np.float32)[..., None] / 255
    return np.asarray(image * keep, np.float32).astype(np.uint8)


def _vibration(image: Image, level: float, rng: np.random.Generator, previous: Image) -> Image:
    length = max(2, int(image.shape[1] * 0.12 * level))
    kernel = np.zeros((length, length), np.float32)
    a = rng.uniform(0, np.pi)
    mid, dx, dy = (length - 1) / 2, np.cos(a) * length / 2, np.sin(a) * length / 2
    ends = [(int(mid - dx), int(mid - dy)), (int(mid + dx), int(mid + dy))]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def _camera_shift(image: Image, level: float, rng: np.random.Generator, previous: Image) -> Image:
    a = rng.uniform(0, 2 * np.pi)
    far = 0.35 * level * image.shape[0]
    matrix = np.array([[1, 0, far * np.cos(a)], [0, 1, far * np.sin(a)]])
    return np.asarray(cv2.warpAffine(image, matrix, image.shape[1::-1]), np.uint8)


def _camera_rotation(
    image: Image, level: float, rng: np.random.Generator, previous: Image
) -> Image:
    """By up to 45 degrees counter-clockwise: every angle read afterwards is off by that."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 45.0 * level, 1.0)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height)), np.uint8)


def _black(image: Image, level: float, rng: np.random.Generator, previous: Image) -> Image:
    return np.zeros_like(image)


def _saturated(image: Image, level: float, rng: np.random.Generator, previous: Image) -> Image:
    return np.where(image.any(2, keepdims=True), np.uint8(255), np.uint8(0)).repeat(3, 2)


def _torn(image: Image, level: float, rng: np.random.Generator, previous: Image) -> Image:
    """The lower rows still belong to the picture before, shifted as a late transfer leaves them."""
    if rng.random() > level:
        return image
    row = int(rng.uniform(0.2, 0.8) * image.shape[0])
    shift = int(rng.uniform(-0.1, 0.1) * image.shape[1])
    return np.concatenate([image[:row], np.roll(previous, shift, 1)[row:]])


def _corrupt(image: Image, level: float, rng: np.random.Generator, previous: Image) -> Image:
    """Blocks of rubbish, as lost packets leave them."""
    out = image.copy()
    block = max(8, image.shape[0] // 16)
    for _ in range(int(1 + 40 * level)):
        y, x = (int(rng.integers(0, n - block)) // 8 * 8 for n in image.shape[:2])
        out[y : y + block, x : x + block] = rng.integers(0, 256, 3)
    return out


PICTURE_FAULTS: Mapping[str, PictureFault] = MappingProxyType(
    {
        "lamp_fade": PictureFault(_gain(-0.92)),
        "lamp_off": PictureFault(_lamp_off),
        "lamp_flicker": PictureFault(_lamp_flicker),
        "colour_cast": PictureFault(_gain((0.8, -0.25, -0.5))),
        "colour_order": PictureFault(_colour_order),
        "defocus": PictureFault(_defocus),
        "lens_smear": PictureFault(_lens_smear, stays=True),
        "droplet": PictureFault(_droplet, stays=True),
        "dust": PictureFault(_dust, stays=True),
        "vibration": PictureFault(_vibration),
        "exposure_jump": PictureFault(_gain(1.6)),
        "camera_shift": PictureFault(_camera_shift, stays=True),
        "camera_rotation": PictureFault(_camera_rotation),
        "black": PictureFault(_black),
        "saturated": PictureFault(_saturated),
        "torn": PictureFault(_torn),
        "corrupt": PictureFault(_corrupt),
    }
)


def spoil(image: Image, name: str, level: float, picture: int, seed: int, previous: Image) -> Image:
    """``image`` under the picture fault ``name``; a new array, or the same one unchanged."""
    fault = PICTURE_FAULTS[name]
    key = [seed, 11] if fault.stays else [seed, 13, picture]
    return fault.change(image, level, np.random.default_rng(key), previous)
