"""Which perturbed copies one explanation needs, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent import config
from agent.ablation.core.perturbation import NULL, WHOLE, Item, channel
from agent.ablation.core.regions import ClassCells, equal_draws, nested
from agent.records import Region, Rung

METHOD_CHANNELS = "ablation-cam"
METHOD_REGIONS = "region-occlusion"
METHOD_CONTROLS = "controls"
METHOD_INPUT = "input-occlusion"
METHOD_STUDIES = "studies"


@dataclass(frozen=True, slots=True)
class Planned:
    """One item and what it is for.

    ``channel`` is -1 for an item that is no single channel; ``class_name`` is empty for an item
    that serves all classes. ``scores_only``: of an occlusion, what M does not show is not needed.
    """

    item: Item
    method: str
    channel: int = -1
    class_name: str = ""
    region: Region | None = None
    fraction: float = 0.0
    cells: int = 0
    scores_only: bool = False


def controls(grid: tuple[int, int]) -> list[Planned]:
    """The null item, always first, and the ablation of the whole layer."""
    return [
        Planned(NULL, METHOD_CONTROLS),
        Planned(WHOLE, METHOD_CONTROLS, region=Region.WHOLE, fraction=1.0, cells=grid[0] * grid[1]),
    ]


def channels(indices: Sequence[int]) -> list[Planned]:
    return [Planned(channel(k), METHOD_CHANNELS, channel=k) for k in indices]


def regions(
    cells: ClassCells, name: str, settings: config.Ablation, rung: Rung, rng: np.random.Generator
) -> list[Planned]:
    """Foreground, background and equal-cell background items of one class.

    The coarse rung keeps 100 % only. An empty region has no item. Of the equal-cell draws, which
    are for the sensitivity, the first alone is read on all pixels.
    """
    fractions = (1.0,) if rung is Rung.COARSE else tuple(sorted({*settings.fractions, 1.0}))
    out = []
    for region, mask in (
        (Region.FOREGROUND, cells.foreground),
        (Region.BACKGROUND, cells.background),
    ):
        for fraction, chosen in zip(fractions, nested(mask, fractions, rng), strict=True):
            if chosen.any():
                out.append(_occlusion(chosen, name, region, fraction))
    count = int(cells.foreground.sum())
    draws = equal_draws(cells.background, count, settings.background_draws, rng)
    for number, chosen in enumerate(draws):
        one = _occlusion(chosen, name, Region.BACKGROUND_EQUAL, 1.0)
        out.append(replace(one, scores_only=number > 0))
    return out


def _occlusion(chosen: np.ndarray, name: str, region: Region, fraction: float) -> Planned:
    return Planned(
        Item(cells=chosen),
        METHOD_REGIONS,
        class_name=name,
        region=region,
        fraction=fraction,
        cells=int(chosen.sum()),
    )
