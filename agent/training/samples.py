"""Pictures with masks, as the trainer asks for them: by index, the same one every time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

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
    """An endless set of simulated fruit, with some empty cups among them."""

    def __init__(
        self, size_px: int = 256, seed: int = 0, look: Look | None = None, empty: float = 0.05
    ) -> None:
        self._renderer = Renderer(size_px)
        self._first = TRAINING_SEEDS_FROM * (1 + seed)
        self._look = look or Look(faint=0.35)
        self._empty = empty

    def sample(self, index: int) -> Sample:
        seed = self._first + index
        if np.random.default_rng([17, seed]).random() < self._empty:
            render = self._renderer.empty_cup(seed)
        else:
            render = self._renderer.fruit(seed, self._look)
        return Sample(render.image, render.aperture, render.mask)


class MixedSamples:
    """Two sets in one: ``share`` of the indices come from ``second``."""

    def __init__(self, first: Samples, second: Samples, share: float) -> None:
        self._first, self._second, self._share = first, second, share

    def sample(self, index: int) -> Sample:
        from_second = np.random.default_rng([19, index]).random() < self._share
        return (self._second if from_second else self._first).sample(index)
