"""Regions in each map separately, and in the strongest maps together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.ablation.core.effects import Effect
from agent.ablation.core.perturbation import Item
from agent.ablation.core.regions import Mask, class_cells, nested
from agent.ablation.run.batching import Tick
from agent.ablation.run.job import Job
from agent.ablation.studies.context import StudyContext, Values
from agent.records import Region

MAP_DRAWS = 2
"""Random sets of maps beside the strongest ones."""


@dataclass(frozen=True, slots=True)
class MapOcclusions:
    """One region in each map separately: ``drop`` and ``dice`` are (fractions, K) float64."""

    region: Region
    fractions: tuple[float, ...]
    drop: NDArray[np.float64]
    dice: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MapSets:
    """One region at 100 % in so many maps at once: the ``strongest`` by |delta|, or ``random`` ones
    (a mean over draws). ``counts``, ``drop`` and ``dice`` are (n,)."""

    region: Region
    chosen: str
    counts: tuple[int, ...]
    drop: NDArray[np.float64]
    dice: NDArray[np.float64]


def each_map(context: StudyContext, tick: Tick) -> Values:
    """Every channel by itself, its class's cells or their complement, at every fraction."""
    _, depth, height, width = context.job.activation.shape
    settings = context.settings
    out: Values = []
    for place, target in enumerate(context.job.ledger.targets):
        cells = class_cells(
            target.region.cpu().numpy(),
            context.case.aperture,
            (height, width),
            settings.region_threshold,
        )
        rng = np.random.default_rng(settings.seed)
        maps, sets = [], []
        deltas = context.records[place].deltas
        for region, mask in (
            (Region.FOREGROUND, cells.foreground),
            (Region.BACKGROUND, cells.background),
        ):
            chosen = nested(mask, settings.fractions, rng)
            if not mask.any():
                continue
            items = [Item(channels=(k,), cells=part) for part in chosen for k in range(depth)]
            found = context.job.effects(place, items, tick)
            maps.append(
                MapOcclusions(
                    region,
                    settings.fractions,
                    _table(found, "drop", depth),
                    _table(found, "dice", depth),
                )
            )
            whole = chosen[-1]
            sets += _map_sets(context.job, place, region, whole, deltas, rng, tick)
        out.append({"maps": tuple(maps), "map_sets": tuple(sets)})
    return out


def _map_sets(
    job: Job,
    place: int,
    region: Region,
    cells: Mask,
    deltas: NDArray[np.float64],
    rng: np.random.Generator,
    tick: Tick,
) -> list[MapSets]:
    """1, 2, 4 ... all maps: the strongest, and as many random ones."""
    depth = deltas.size
    counts = (*(2**n for n in range(depth.bit_length()) if 2**n < depth), depth)
    orders = [np.argsort(-np.abs(deltas), kind="stable")]
    orders += [rng.permutation(depth) for _ in range(MAP_DRAWS)]
    items = [
        Item(channels=tuple(int(k) for k in order[:count]), cells=cells)
        for order in orders
        for count in counts
    ]
    found = job.effects(place, items, tick)
    drop, dice = (_table(found, name, len(counts)) for name in ("drop", "dice"))
    return [
        MapSets(region, "strongest", counts, drop[0], dice[0]),
        MapSets(region, "random", counts, drop[1:].mean(axis=0), dice[1:].mean(axis=0)),
    ]


def _table(found: Sequence[Effect], name: str, depth: int) -> NDArray[np.float64]:
    return np.array([getattr(effect, name) for effect in found]).reshape(-1, depth)
