"""Augmentation: what another camera, lamp or way of lying would have made of the same fruit.

Pure functions of (sample, rng). Geometry moves picture, aperture and mask together; the photometric
part touches the picture alone and leaves what is outside the aperture black.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.training.samples import Sample


def turn(sample: Sample, rng: np.random.Generator) -> Sample:
    """A random rotation about the centre, and a mirror image half the time.

    The mask is taken by nearest neighbour; the corners that come in are outside the aperture.
    """
    height, width = sample.mask.shape
    angle = float(rng.uniform(0, 360))
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    mirror = rng.random() < 0.5
    size = (width, height)
    image = cv2.warpAffine(sample.image, matrix, size, flags=cv2.INTER_LINEAR)
    mask = cv2.warpAffine(sample.mask, matrix, size, flags=cv2.INTER_NEAREST)
    inside = cv2.warpAffine(sample.aperture.view(np.uint8), matrix, size, flags=cv2.INTER_NEAREST)
    if mirror:
        image, mask, inside = (np.ascontiguousarray(a[:, ::-1]) for a in (image, mask, inside))
    aperture = inside > 0
    image[~aperture] = 0
    return Sample(np.asarray(image, np.uint8), aperture, np.asarray(mask, np.uint8))


def recolour(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Gain, colour mixing, gamma, contrast: one small matrix and one table of 256 values."""
    mix = np.eye(3) + rng.normal(0, 0.06, (3, 3))
    mix *= rng.uniform(0.75, 1.2)
    out = cv2.transform(image, mix)
    grey = np.linspace(0, 1, 256) ** float(np.exp(rng.normal(0, 0.22)))
    grey = np.clip((grey - 0.5) * float(np.exp(rng.normal(0, 0.12))) + 0.5, 0, 1)
    return np.asarray(cv2.LUT(out, (grey * 255).astype(np.uint8)), np.uint8)


def degrade(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Defocus, coarse sampling, noise and compression, each now and then."""
    height, width = image.shape[:2]
    kind = rng.random()
    if kind < 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.4)), np.uint8)
    elif kind < 0.35:
        coarse = rng.uniform(0.35, 0.7)
        small = cv2.resize(image, None, fx=coarse, fy=coarse, interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(small, (width, height)), np.uint8)
    if rng.random() < 0.15:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))]
        image = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], 1), np.uint8)
    if rng.random() < 0.15:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(2, 9))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return image


def augment(sample: Sample, rng: np.random.Generator) -> Sample:
    """All of it, in the order in which it would happen."""
    if rng.random() < 0.5:
        sample = turn(sample, rng)
    image = sample.image
    if rng.random() < 0.7:
        image = recolour(image, rng)
    image = degrade(image, rng)
    if image is not sample.image:
        image = np.asarray(
            cv2.bitwise_and(image, image, mask=sample.aperture.view(np.uint8)), np.uint8
        )
    return Sample(image, sample.aperture, sample.mask)
