"""Smooth random fields: few random numbers, enlarged. The cheap base of everything organic."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

SMOOTH_CELL_PX = 7
SHEETS, SHEET_PX, SHEET_CELLS = 48, 128, 8
"""Of the stock that marbled fields are cut from: 3 MB."""


def smooth_field(rng: np.random.Generator, size_px: int, cells: int) -> Field:
    """(size_px, size_px) float32 of about unit variance with ``cells`` features across."""
    field = rng.standard_normal((cells, cells), dtype=np.float32)
    fine_px = SMOOTH_CELL_PX * cells
    if (
        fine_px < size_px
    ):  # a curve of so many steps is smooth enough to go on linearly, and cheaper
        field = np.asarray(cv2.resize(field, (fine_px, fine_px), interpolation=cv2.INTER_CUBIC))
        return np.asarray(cv2.resize(field, (size_px, size_px)), np.float32)
    return np.asarray(cv2.resize(field, (size_px, size_px), interpolation=cv2.INTER_CUBIC))


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


class Marble:
    """A stock of fractal sheets, and fields cut from them in any direction, stretched and bent.

    A plain fractal field looks like a cloud; skin is drawn out in one direction and bent as it
    grew. Deterministic: the stock is always the same one, what is cut from it depends on ``rng``.
    """

    def __init__(self) -> None:
        rng = np.random.default_rng(SHEETS)
        self._sheets = [
            fractal_field(rng, SHEET_PX, SHEET_CELLS, 4, between(rng, 0.35, 0.65))
            for _ in range(SHEETS)
        ]

    def field(self, rng: np.random.Generator, size_px: int, cells: float) -> Field:
        """(size_px, size_px) of about unit variance with about ``cells`` features across."""
        sheet = self._sheets[int(rng.integers(SHEETS))]
        turn, draw = between(rng, 0, 2 * np.pi), between(rng, 1.0, 2.2)
        c, s = float(np.cos(turn)), float(np.sin(turn))
        step = cells / SHEET_CELLS * SHEET_PX / size_px
        xx, xy, yx, yy = (np.float32(v * step) for v in (c / draw, s / draw, -s, c))
        x0, y0 = (np.float32(v) for v in rng.uniform(0, SHEET_PX, 2))
        bend = np.float32(between(rng, 0.0, 0.3) * SHEET_PX / SHEET_CELLS)
        axis = np.arange(size_px, dtype=np.float32)
        wave = smooth_field(rng, size_px, 4)
        wave *= bend
        x = wave + (xx * axis + x0)[None, :]
        x += (xy * axis)[:, None]
        y = wave[::-1] + (yx * axis + y0)[None, :]
        y += (yy * axis)[:, None]
        field = cv2.remap(sheet, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(field, np.float32)


def smooth_line(rng: np.random.Generator, length: int, cells: int) -> Field:
    """(length,) float32: the same in one dimension, for what varies along a line."""
    coarse = rng.standard_normal((1, max(2, cells)), dtype=np.float32)
    line = cv2.resize(coarse, (length, 1), interpolation=cv2.INTER_CUBIC)
    return np.asarray(line[0], np.float32)


def smoothstep(x: Field, low: float, high: float) -> Field:
    """0 below ``low``, 1 above ``high``, and a smooth rise between."""
    t = np.clip((x - np.float32(low)) * np.float32(1.0 / (high - low)), 0.0, 1.0)
    return np.asarray(t * t * (np.float32(3.0) - np.float32(2.0) * t), np.float32)


def turned(
    axes: tuple[Field, Field], centre: tuple[float, float], angle: float
) -> tuple[Field, Field]:
    """Coordinates along and across a line through ``centre`` at ``angle`` (radians, downwards)."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x, y = axes[0] - np.float32(centre[0]), axes[1] - np.float32(centre[1])
    return np.asarray(x * cos + y * sin, np.float32), np.asarray(y * cos - x * sin, np.float32)


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with this probability."""
    return bool(rng.random() < probability)


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Uniform in [low, high)."""
    return float(low + (high - low) * rng.random())
