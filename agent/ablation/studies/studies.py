"""What is made of some explanations only, because it costs hundreds of passes.

Occlusion of the input by patches, occlusion at the layer by blocks, insertion and deletion, the
HiRes gradient map, groups of channels, regions in each map separately, the other baseline, features
that the user draws, and the maps of other methods.
Each is one more plan of items for the engine, or of pictures for the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from agent.ablation.core.arguments import instance, integer, switch, words
from agent.ablation.core.errors import AblationError, LateError
from agent.ablation.core.groups import Group, check_groups, parse_groups
from agent.ablation.core.perturbation import Item
from agent.ablation.core.ranks import rank_correlation
from agent.ablation.core.regions import Mask, to_grid
from agent.ablation.run.batching import Tick
from agent.ablation.run.gradients import NoGradientError
from agent.ablation.split.left import in_words, study_failed
from agent.ablation.studies.context import StudyContext, Values
from agent.ablation.studies.curves import Curve, CurveSettings, curves, gains
from agent.ablation.studies.each_map import MapOcclusions, MapSets, each_map
from agent.ablation.studies.features import (
    FeatureDrops,
    InputFeatures,
    LayerFeatures,
    input_features,
    layer_features,
)
from agent.ablation.studies.methods import MethodMap, check_methods, method_maps
from agent.ablation.studies.patches import PatchMaps, PatchSettings, patch_maps
from agent.records import ClassExplanation, CrossChecks

PATCHES, BLOCKS, CURVES, HIRES = (
    "patch_occlusion",
    "spatial_agreement",
    "insertion_deletion",
    "hires_map",
)
GROUPS, EACH_MAP, OTHER_BASELINE = "group_ablation", "each_map_occlusion", "other_baseline"
INPUT_FEATURES, LAYER_FEATURES = "input_features", "layer_features"
OTHER_METHODS = "method_maps"
KINDS = {
    "patches": PatchSettings,
    "curves": CurveSettings,
    "input_features": InputFeatures,
    "layer_features": LayerFeatures,
}
CHECKS = (PATCHES, BLOCKS, CURVES, HIRES)
"""The cross-checks that an explanation without studies leaves out, by the names of ``left_out``."""


@dataclass(frozen=True, slots=True)
class Studies:
    """What to make beyond an explanation; each is left out where it is None, 0, empty or false.

    ``block_cells``: side of the square blocks at the layer, in cells; ``groups``: given, or in
    words (``groups.FORMS``); ``maps``: regions in each map separately, and in the strongest of
    them; ``other_baseline``: channels against the baseline that the explanation does not use (its
    means must be known); ``methods``: names of ``methods.METHODS``, whose maps are made side by
    side.
    """

    patches: PatchSettings | None = None
    block_cells: int = 0
    curves: CurveSettings | None = None
    hires: bool = False
    groups: str | Sequence[Group] = ""
    maps: bool = False
    other_baseline: bool = False
    input_features: InputFeatures | None = None
    layer_features: LayerFeatures | None = None
    methods: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "block_cells", integer("block_cells", self.block_cells))
        object.__setattr__(self, "groups", check_groups(self.groups))
        for name in ("hires", "maps", "other_baseline"):
            object.__setattr__(self, name, switch(name, getattr(self, name)))
        for name, kind in KINDS.items():
            if getattr(self, name) is not None:
                instance(kind, name, getattr(self, name))
        names = words("methods", self.methods) if self.methods else ()
        object.__setattr__(self, "methods", names)
        check_methods(names)
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
class Studied:
    """What the studies of one class gave; None or empty where one was not made. ``refused`` says
    why of a study that the network does not allow, by its name in ``left_out``."""

    patches: PatchMaps | None = None
    block_drop: NDArray[np.float64] | None = None  # (gh, gw), NaN outside the aperture
    hires_map: NDArray[np.float32] | None = None  # (gh, gw)
    curves: tuple[Curve, ...] = ()
    groups: tuple[GroupDelta, ...] = ()
    maps: tuple[MapOcclusions, ...] = ()
    map_sets: tuple[MapSets, ...] = ()
    other_baseline: str = ""
    other_deltas: NDArray[np.float64] | None = None  # (K,)
    input_features: FeatureDrops | None = None
    layer_features: FeatureDrops | None = None
    methods: tuple[MethodMap, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


def run_studies(
    wanted: Studies, context: StudyContext, tick: Callable[[str], None]
) -> tuple[list[Studied], tuple[str, ...]]:
    """One result per target, and the names of what was wanted but given up: for lack of time, of a
    gradient, or because it failed.

    ``tick`` is told the study's name before each batch and ends that study by ``LateError``. What
    is asked for and cannot be had is an ``AblationError``.
    """
    parts: list[dict[str, object]] = [{} for _ in context.records]
    late: list[str] = []
    seconds: dict[str, float] = {}
    refused: dict[str, str] = {}
    for name, study in _studies(wanted, context):
        started = context.clock()
        try:
            found = study(lambda name=name: tick(name))  # type: ignore[misc]
        except LateError:
            late.append(name)
            continue
        except Exception as error:  # noqa: BLE001 - the explanation is there; a refusal goes on
            if not isinstance(error, NoGradientError):
                study_failed(name, error)
            late.append(name)
            refused[name] = in_words(error)
            continue
        seconds[name] = context.clock() - started
        for part, values in zip(parts, found, strict=True):
            part.update(values)
    studied = [Studied(**part, seconds=seconds, refused=refused) for part in parts]  # type: ignore[arg-type]
    return studied, tuple(late)


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
    if wanted.methods:
        yield OTHER_METHODS, lambda tick: method_maps(wanted.methods, context, tick)
    if (drawn := wanted.layer_features) is not None:
        yield LAYER_FEATURES, lambda tick: layer_features(drawn, context, tick)
    if (pixels := wanted.input_features) is not None:
        yield INPUT_FEATURES, lambda tick: input_features(pixels, context, tick)
    if wanted.maps:
        yield EACH_MAP, lambda tick: each_map(context, tick)


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
