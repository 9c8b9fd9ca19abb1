"""Where on the picture the relevance of a map lies: on which class, or elsewhere. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.ablation.core.regions import Mask, area_shares

ELSEWHERE = "elsewhere"


def class_shares(
    mask: NDArray[np.uint8], aperture: Mask, classes: Sequence[str], grid: tuple[int, int]
) -> dict[str, NDArray[np.float64]]:
    """Per foreground class the share of each cell's area, (gh, gw), that it covers inside the
    aperture, and under ``elsewhere`` that of the rest of the aperture."""
    shares = {
        name: area_shares((mask == index) & aperture, grid)
        for index, name in enumerate(classes)
        if index > 0
    }
    taken = sum(shares.values(), np.zeros(grid))
    shares[ELSEWHERE] = np.clip(area_shares(aperture, grid) - taken, 0.0, 1.0)
    return shares


def relevance_mass(
    signed: NDArray[np.float32], shares: Mapping[str, NDArray[np.float64]]
) -> dict[str, float]:
    """Mass(R) = sum of max(h, 0) in R / sum of max(h, 0) inside the aperture; a cell on a border
    counts by area. NaN for every region where nothing inside the aperture speaks for the class."""
    positive = np.maximum(signed, 0.0).astype(np.float64)
    masses = {name: float((positive * share).sum()) for name, share in shares.items()}
    total = math.fsum(masses.values())
    return {name: mass / total if total > 0 else math.nan for name, mass in masses.items()}
