"""Pictures with masks, as the trainer asks for them: by index, the same one every time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.simulator.render import Look, Renderer

TRAINING_SEEDS_FROM = 10**12
"""Fruit seeds from here on belong to training; the live simulator and evaluation stay below."""


@dataclass(frozen=True, slots=True)
class Sample:
    """``image`` (H, W, 3) uint8 BGR; ``aperture`` (H, W) bool; ``mask`` (H, W) uint8 classes."""

    image: NDArray[np.uint8]
    aperture: NDArray[np.bool_]
    mask: NDArray[np.uint8]


class Samples(Protocol):
    """Anything that can be trained on."""

    def sample(self, index: int) -> Sample:
        """The sample of this index (any non-negative number), deterministic."""
        ...


class SimulatedSamples:
    """Simulated fruit without end; some cups empty, some fruit only just passing the view."""

    def __init__(
        self,
        size_px: int = 256,
        seed: int = 0,
        look: Look | None = None,
        empty: float = 0.05,
        passing: float = 0.08,
    ) -> None:
        self._renderer = Renderer(size_px)
        self._first = TRAINING_SEEDS_FROM * (1 + seed)
        self._look = look or Look(faint=0.35)
        self._empty = empty
        self._passing = passing

    def sample(self, index: int) -> Sample:
        seed = self._first + index
        rng = np.random.default_rng([17, seed])
        kind = rng.random()
        if kind < self._empty:
            render = self._renderer.empty_cup(seed)
        else:
            render = self._renderer.fruit(seed, self._look)
        sample = Sample(render.image, render.aperture, render.mask)
        return passing(sample, rng) if kind > 1 - self._passing else sample


def passing(sample: Sample, rng: np.random.Generator) -> Sample:
    """The sample moved by up to 0.7 of its size, as a free-running camera sees it come and go."""
    return moved(sample, rng, 0.1, 0.7)


def moved(sample: Sample, rng: np.random.Generator, least: float, most: float) -> Sample:
    """The sample moved by ``least`` to ``most`` of its size, any way.

    The belt that shows behind it is dark.
    """
    height, width = sample.mask.shape
    away, turn = rng.uniform(least, most) * width, rng.uniform(0, 2 * np.pi)
    matrix = np.array([[1, 0, away * np.cos(turn)], [0, 1, away * np.sin(turn)]])
    belt = float(rng.uniform(0, 25))
    image = sample.image.copy()
    image[~sample.aperture] = belt
    moved = cv2.warpAffine(image, matrix, (width, height), borderValue=(belt, belt, belt))
    mask = cv2.warpAffine(sample.mask, matrix, (width, height), flags=cv2.INTER_NEAREST)
    moved[~sample.aperture] = 0
    mask[~sample.aperture] = 0
    return Sample(np.asarray(moved, np.uint8), sample.aperture, np.asarray(mask, np.uint8))


class MixedSamples:
    """Two sets in one: ``share`` of the indices come from ``second``."""

    def __init__(self, first: Samples, second: Samples, share: float) -> None:
        self._first, self._second, self._share = first, second, share

    def sample(self, index: int) -> Sample:
        from_second = np.random.default_rng([19, index]).random() < self._share
        return (self._second if from_second else self._first).sample(index)
