"""Smooth random fields: few random numbers, enlarged. The cheap base of everything organic."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def smooth_field(
    rng: np.random.Generator, size_px: int, cells: int, rows: int | None = None
) -> Field:
    """(size_px, size_px) float32 of about unit variance with ``cells`` features across."""
    coarse = rng.standard_normal((rows or cells, cells), dtype=np.float32)
    field = cv2.resize(coarse, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field, np.float32)


def fractal_field(
    rng: np.random.Generator, size_px: int, cells: int, octaves: int, persistence: float = 0.5
) -> Field:
    """Sum of smooth fields, each octave with twice the cells and ``persistence`` of the height."""
    total = smooth_field(rng, size_px, cells)
    height, norm = 1.0, 1.0
    for octave in range(1, octaves):
        height *= persistence
        norm += height * height
        total += np.float32(height) * smooth_field(rng, size_px, min(cells << octave, size_px))
    total *= np.float32(1.0 / np.sqrt(norm))
    return total


def smooth_line(rng: np.random.Generator, length: int, cells: int) -> Field:
    """(length,) float32: the same in one dimension, for what varies along a line."""
    coarse = rng.standard_normal((1, max(2, cells)), dtype=np.float32)
    line = cv2.resize(coarse, (length, 1), interpolation=cv2.INTER_CUBIC)
    return np.asarray(line[0], np.float32)


def smoothstep(x: Field, low: float, high: float) -> Field:
    """0 below ``low``, 1 above ``high``, and a smooth rise between."""
    t = np.clip((x - np.float32(low)) * np.float32(1.0 / (high - low)), 0.0, 1.0)
    return np.asarray(t * t * (np.float32(3.0) - np.float32(2.0) * t), np.float32)


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with this probability."""
    return bool(rng.random() < probability)


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Uniform in [low, high)."""
    return float(low + (high - low) * rng.random())
