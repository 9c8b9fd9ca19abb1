"""What is made of some explanations only, because it costs hundreds of passes.

Occlusion of the input by patches, occlusion at the layer by blocks, insertion and deletion, the
HiRes gradient map, groups of channels, regions in each map separately, and the other baseline.
Each is one more plan of items for the engine, or of pictures for the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from agent import config
from agent.ablation.core.arguments import instance, integer, switch
from agent.ablation.core.case import Case
from agent.ablation.core.effects import Effect
from agent.ablation.core.errors import AblationError, LateError
from agent.ablation.core.groups import Group, check_groups, parse_groups
from agent.ablation.core.perturbation import Item
from agent.ablation.core.ranks import rank_correlation
from agent.ablation.core.regions import Mask, class_cells, nested, to_grid
from agent.ablation.run.batching import Tick
from agent.ablation.run.job import Job
from agent.ablation.run.whole_model import WholeModel
from agent.ablation.studies.curves import Curve, CurveSettings, curves, gains
from agent.ablation.studies.patches import PatchMaps, PatchSettings, patch_maps
from agent.records import ClassExplanation, CrossChecks, Region

PATCHES, BLOCKS, CURVES, HIRES = (
    "patch_occlusion",
    "spatial_agreement",
    "insertion_deletion",
    "hires_map",
)
GROUPS, EACH_MAP, OTHER_BASELINE = "group_ablation", "each_map_occlusion", "other_baseline"
MAP_DRAWS = 2
"""Random sets of maps beside the strongest ones."""
CHECKS = (PATCHES, BLOCKS, CURVES, HIRES)
"""The cross-checks that an explanation without studies leaves out, by the names of ``left_out``."""


@dataclass(frozen=True, slots=True)
class Studies:
    """What to make beyond an explanation; each is left out where it is None, 0, empty or false.

    ``block_cells``: side of the square blocks at the layer, in cells; ``groups``: given, or
    in words (``groups.FORMS``); ``maps``: regions in each map separately, and in
    the strongest of them; ``other_baseline``: channels against
    the baseline that the explanation does not use (its means must be known).
    """

    patches: PatchSettings | None = None
    block_cells: int = 0
    curves: CurveSettings | None = None
    hires: bool = False
    groups: str | Sequence[Group] = ""
    maps: bool = False
    other_baseline: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "block_cells", integer("block_cells", self.block_cells))
        object.__setattr__(self, "groups", check_groups(self.groups))
        for name in ("hires", "maps", "other_baseline"):
            object.__setattr__(self, name, switch(name, getattr(self, name)))
        if self.patches is not None:
            instance(PatchSettings, "patches", self.patches)
        if self.curves is not None:
            instance(CurveSettings, "curves", self.curves)
        if self.block_cells < 0:
            raise AblationError(f"blocks of {self.block_cells} cells at the layer")


CROSS_CHECKS = Studies(block_cells=2, curves=CurveSettings(), hires=True)
"""What one explanation in so many has: everything that its record has room for."""


@dataclass(frozen=True, slots=True)
class GroupDelta:
    """``delta`` of the whole group, and the ``sum_of_single`` deltas of its channels."""

    channels: Group
    delta: float
    sum_of_single: float


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


@dataclass(frozen=True, slots=True)
class Studied:
    """What the studies of one class gave; None or empty where one was not made."""

    patches: PatchMaps | None = None
    block_drop: NDArray[np.float64] | None = None  # (gh, gw), NaN outside the aperture
    hires_map: NDArray[np.float32] | None = None  # (gh, gw)
    curves: tuple[Curve, ...] = ()
    groups: tuple[GroupDelta, ...] = ()
    maps: tuple[MapOcclusions, ...] = ()
    map_sets: tuple[MapSets, ...] = ()
    other_baseline: str = ""
    other_deltas: NDArray[np.float64] | None = None  # (K,)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StudyContext:
    """What studies work on: a finished job, its explanations (one per target), and the whole model
    for changed pictures. ``other`` runs the job again with the other baseline."""

    whole_model: WholeModel
    case: Case
    job: Job
    records: Sequence[ClassExplanation]
    settings: config.Ablation
    other: Callable[[Tick], tuple[str, Job]]
    clock: Callable[[], float]


def run_studies(
    wanted: Studies, context: StudyContext, tick: Callable[[str], None]
) -> tuple[list[Studied], tuple[str, ...]]:
    """One result per target, and the names of what was wanted but given up for lack of time.

    ``tick`` is told the study's name before each batch and ends that study by ``LateError``.
    """
    parts: list[dict[str, object]] = [{} for _ in context.records]
    late, seconds = [], {}
    for name, study in _studies(wanted, context):
        started = context.clock()
        try:
            found = study(lambda name=name: tick(name))  # type: ignore[misc]
        except LateError:
            late.append(name)
            continue
        seconds[name] = context.clock() - started
        for part, values in zip(parts, found, strict=True):
            part.update(values)
    return [Studied(**part, seconds=seconds) for part in parts], tuple(late)  # type: ignore[arg-type]


def cross_checked(record: ClassExplanation, found: Studied, aperture: Mask) -> ClassExplanation:
    """The record with the numbers that it keeps of its studies; maps are compared inside the
    ``aperture``, (h, w) bool, alone."""
    agreement = hires = baselines = math.nan
    if found.block_drop is not None:
        agreement = rank_correlation(np.maximum(record.map, 0), found.block_drop)
    if found.hires_map is not None:
        inside = to_grid(aperture, (record.map.shape[0], record.map.shape[1]), 0.5)
        hires = rank_correlation(record.map[inside], found.hires_map[inside])
    if found.other_deltas is not None:
        baselines = rank_correlation(record.deltas, found.other_deltas)
    checks = CrossChecks(hires, baselines, gains(found.curves))
    return replace(record, checks=checks, agreement=agreement)


def missing(found: Studied, late: Sequence[str]) -> tuple[str, ...]:
    """What a record's ``left_out`` says of studies: cross-checks not made, anything given up."""
    made = {
        PATCHES: found.patches is not None,
        BLOCKS: found.block_drop is not None,
        CURVES: bool(found.curves),
        HIRES: found.hires_map is not None,
    }
    return tuple(name for name in CHECKS if not made[name]) + tuple(
        name for name in late if name not in CHECKS
    )


Values = list[dict[str, object]]


def _studies(
    wanted: Studies, context: StudyContext
) -> Iterator[tuple[str, Callable[[Tick], Values]]]:
    """The cheapest first: time may run out."""
    if wanted.hires:
        yield HIRES, lambda tick: _hires(context, tick)
    if wanted.groups:
        yield GROUPS, lambda tick: _groups(wanted.groups, context, tick)
    if wanted.block_cells:
        yield BLOCKS, lambda tick: _blocks(wanted.block_cells, context, tick)
    if (settings := wanted.curves) is not None:
        yield CURVES, lambda tick: _curves(settings, context, tick)
    if wanted.other_baseline:
        yield OTHER_BASELINE, lambda tick: _other_baseline(context, tick)
    if (patches := wanted.patches) is not None:
        yield PATCHES, lambda tick: _patches(patches, context, tick)
    if wanted.maps:
        yield EACH_MAP, lambda tick: _each_map(context, tick)


def _hires(context: StudyContext, tick: Tick) -> Values:
    tick()
    return [{"hires_map": one} for one in context.job.hires()]


def _groups(wanted: str | Sequence[Group], context: StudyContext, tick: Tick) -> Values:
    groups = parse_groups(wanted, context.job.activation[0].float().cpu().numpy())
    drops = context.job.drops([Item(channels=group) for group in groups], tick)
    return [
        {
            "groups": tuple(
                GroupDelta(group, float(drop), float(record.deltas[list(group)].sum()))
                for group, drop in zip(groups, row, strict=True)
            )
        }
        for record, row in zip(context.records, drops, strict=True)
    ]


def _blocks(side: int, context: StudyContext, tick: Tick) -> Values:
    """Square blocks of all channels, one after the other over the grid; a cell has its block's
    drop, so that blocks of one cell give a map of the layer's own resolution."""
    grid = (int(context.job.activation.shape[2]), int(context.job.activation.shape[3]))
    if side > min(grid):
        raise AblationError(f"blocks of {side} cells do not fit a layer of {grid[1]} x {grid[0]}")
    inside = to_grid(context.case.aperture, grid, 0.5)
    blocks: list[Mask] = []
    for top in range(0, grid[0], side):
        for left in range(0, grid[1], side):
            block = np.zeros(grid, np.bool_)
            block[top : top + side, left : left + side] = True
            if (block & inside).any():
                blocks.append(block & inside)
    drops = context.job.drops([Item(cells=block) for block in blocks], tick)
    out: Values = []
    for row in drops:
        cells = np.full(grid, np.nan)
        for block, drop in zip(blocks, row, strict=True):
            cells[block] = drop
        out.append({"block_drop": cells})
    return out


def _curves(settings: CurveSettings, context: StudyContext, tick: Tick) -> Values:
    maps = [record.map for record in context.records]
    found = curves(
        context.whole_model,
        context.case,
        context.job.ledger.targets,
        maps,
        context.records[0].mean_map,
        settings,
        tick,
    )
    return [{"curves": one} for one in found]


def _other_baseline(context: StudyContext, tick: Tick) -> Values:
    name, job = context.other(tick)
    return [{"other_baseline": name, "other_deltas": deltas} for deltas in job.ledger.deltas]


def _patches(settings: PatchSettings, context: StudyContext, tick: Tick) -> Values:
    found = patch_maps(
        context.whole_model, context.case, context.job.ledger.targets, settings, tick
    )
    return [{"patches": one} for one in found]


def _each_map(context: StudyContext, tick: Tick) -> Values:
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
