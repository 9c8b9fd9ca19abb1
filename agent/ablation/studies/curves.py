"""Insertion and deletion: does hiding what a map points at hurt, and does showing it alone help?

A curve by itself proves nothing: any ranking that finds the fruit does well. What counts is the
gain over a random ranking, and over the unweighted mean of the activation maps.

The unit is a cell of the layer's grid inside the aperture, the finest thing that a map tells apart.
Deletion hides the first cells of a ranking, insertion shows them alone; y is the margin, brought to
1 for the whole picture and 0 for a picture that is all fill.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from agent.ablation.core.arguments import integer
from agent.ablation.core.case import Case
from agent.ablation.core.errors import AblationError
from agent.ablation.core.regions import Mask, nearest, to_grid
from agent.ablation.core.scores import MARGIN, Target
from agent.ablation.run.batching import Tick
from agent.ablation.run.fills import Fill, filled, hidden_runs
from agent.ablation.run.input_occlusion import MIN_EFFECT
from agent.ablation.run.whole_model import Reader, WholeModel
from agent.records import Gain

DELETION, INSERTION = "deletion", "insertion"
FILLS = (Fill.MEAN, Fill.BLUR)
MAP, MEAN_MAP, RANDOM = "map", "mean_map", "random"

Ranking = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CurveSettings:
    """``steps`` points after the first; ``draws`` random rankings, each of them also reversed."""

    steps: int = 10
    draws: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "draws"):
            object.__setattr__(self, name, integer(name, getattr(self, name)))
        object.__setattr__(self, "seed", integer("seed", self.seed, least=0))
        if self.steps < 2 or self.draws < 1:
            raise AblationError("insertion and deletion need at least 2 steps and 1 random draw")


@dataclass(frozen=True, slots=True)
class Curve:
    """``values`` (steps + 1,): y in its share of the whole effect, over ``fractions`` of the cells.

    ``ranking`` is map, mean_map or random (a mean over draws). NaN where hiding everything costs
    less than a stated margin.
    """

    measure: str
    fill: str
    ranking: str
    fractions: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def auc(self) -> float:
        """Area under the straight lines through the points."""
        return float(np.trapezoid(self.values, self.fractions))


def curves(
    whole_model: WholeModel,
    case: Case,
    targets: Sequence[Target],
    maps: Sequence[NDArray[np.float32]],
    mean_map: NDArray[np.float32],
    settings: CurveSettings,
    tick: Tick,
) -> list[tuple[Curve, ...]]:
    """All curves of each target. ``maps`` (gh, gw) are theirs, signed."""
    grid = (mean_map.shape[0], mean_map.shape[1])
    inside = np.flatnonzero(to_grid(case.aperture, grid, 0.5))
    if inside.size < settings.steps:
        raise AblationError(
            f"insertion and deletion in {settings.steps} steps need as many cells of the layer "
            f"inside the aperture; there are {inside.size}"
        )
    rng = np.random.default_rng(settings.seed)
    draws = [rng.permutation(inside) for _ in range(settings.draws)]
    random = [order for draw in draws for order in (draw, draw[::-1])]
    rankings = {MEAN_MAP: [_ranked(mean_map, inside)], RANDOM: random}
    rankings |= {f"{MAP}:{place}": [_ranked(one, inside)] for place, one in enumerate(maps)}
    fractions = np.linspace(0, 1, settings.steps + 1)
    out: list[list[Curve]] = [[] for _ in targets]
    reader = whole_model.reader(case, torch.stack([t.region for t in targets]).any(0), targets)
    for fill in FILLS:
        runner = _Runner(reader, case, grid, filled(case, fill), tick)
        raw = {
            (measure, name): np.mean(
                [runner.values(order, fractions, measure) for order in orders], axis=0
            )
            for name, orders in rankings.items()
            for measure in (DELETION, INSERTION)
            if not (name == RANDOM and measure == INSERTION)
        }
        # A random order shown from its start is its reverse hidden from the end: the same pictures.
        raw[INSERTION, RANDOM] = raw[DELETION, RANDOM][:, ::-1]
        for place in range(len(targets)):
            for (measure, name), values in raw.items():
                ranking = name.partition(":")[0]
                if ranking != MAP or name == f"{MAP}:{place}":
                    share = _share(values[place], measure)
                    out[place].append(Curve(measure, str(fill), ranking, fractions, share))
    return [tuple(one) for one in out]


def gains(found: Sequence[Curve]) -> tuple[Gain, ...]:
    """What the map's curves win over the controls: positive is better, for both measures."""
    areas = {(c.measure, c.fill, c.ranking): c.auc for c in found}
    out = []
    for measure, fill, ranking in areas:
        if ranking == MAP:
            auc = areas[measure, fill, MAP]
            sign = 1.0 if measure == INSERTION else -1.0
            out.append(
                Gain(
                    measure=measure,
                    fill=fill,
                    auc=auc,
                    over_random=sign * (auc - areas[measure, fill, RANDOM]),
                    over_mean_map=sign * (auc - areas[measure, fill, MEAN_MAP]),
                )
            )
    return tuple(out)


class _Runner:
    """Margins of all targets with the first cells of a ranking hidden, or shown alone."""

    def __init__(
        self,
        reader: Reader,
        case: Case,
        grid: tuple[int, int],
        instead: NDArray[np.float32],
        tick: Tick,
    ) -> None:
        self._reader, self._case = reader, case
        self._grid, self._instead, self._tick = grid, instead, tick

    def values(
        self, order: Ranking, fractions: NDArray[np.float64], measure: str
    ) -> NDArray[np.float64]:
        """(targets, points)."""
        masks = self._masks(order, fractions, measure)
        runs = hidden_runs(self._reader, self._case, masks, self._instead, self._tick)
        margins = [
            [float(MARGIN.value(rows, t)[0]) for t in self._reader.seen.targets] for rows in runs
        ]
        return np.asarray(margins, np.float64).T

    def _masks(
        self, order: Ranking, fractions: NDArray[np.float64], measure: str
    ) -> Iterator[Mask]:
        size = (self._case.aperture.shape[0], self._case.aperture.shape[1])
        for fraction in fractions:
            first = order[: round(fraction * order.size)]
            cells = np.zeros(self._grid, np.bool_)
            cells.flat[first] = True
            chosen = nearest(cells, size)
            if fraction == 1:
                chosen = np.ones(size, np.bool_)
            yield ~chosen if measure == INSERTION else chosen


def _ranked(values: NDArray[np.float32], inside: NDArray[np.int64]) -> Ranking:
    return inside[np.argsort(-values.flat[inside], kind="stable")]


def _share(values: NDArray[np.float64], measure: str) -> NDArray[np.float64]:
    whole, nothing = (values[-1], values[0]) if measure == INSERTION else (values[0], values[-1])
    if not whole - nothing >= MIN_EFFECT:
        return np.full_like(values, math.nan)
    return np.asarray((values - nothing) / (whole - nothing), np.float64)
