"""Maps of other methods beside Ablation-CAM: the same layer, score and picture.

A is the layer's output, (K, gh, gw), g = dy/dA its slope; all maps are kept signed. Where a score
has no slope (the Dice), g is that of the margin.

- ``seg-grad-cam`` (arXiv 2002.11434): sum over k of (mean over space of g_k) A_k
- ``hires`` (arXiv 2011.08891): sum over k of g_k (A_k - b_k), b the baseline
- ``seg-eigen-cam`` (doi 10.3390/app15137562): first left-singular projection of |g| A, cells by
  channels and not centred; the sign is that with which the largest absolute value is positive
- ``input-occlusion``: the mean drop of y under a sliding patch (``patches``)
- ``mean-map``: mean over k of A_k, and ``random``: uniform noise; both know nothing of y, and what
  is no better than they are explains nothing
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.core import plan
from agent.ablation.core.errors import AblationError
from agent.ablation.run.batching import Tick
from agent.ablation.run.fills import Fill
from agent.ablation.studies.context import StudyContext, Values
from agent.ablation.studies.patches import PatchSettings, boxes, patch_maps

ABLATION, GRAD, HIRES, EIGEN, INPUT, MEAN, RANDOM = (
    plan.METHOD_CHANNELS,
    "seg-grad-cam",
    "hires",
    "seg-eigen-cam",
    plan.METHOD_INPUT,
    "mean-map",
    "random",
)
METHODS = (ABLATION, GRAD, HIRES, EIGEN, INPUT, MEAN, RANDOM)
PATCH_PX = 16
"""Side of the patch, or the whole input where that is smaller; the stride is half of it."""

Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MethodMap:
    """Of one class: ``map`` float32, signed, on the layer's grid or (``input-occlusion``) on the
    network's, NaN outside the aperture there; None where there is none, which ``reason`` says, as
    it does of one that is 0 everywhere.

    ``passes`` of the network, or of its part from the layer on, beyond the picture's own forward: a
    backward pass counts as one, the re-runs of controls are left out. They and ``seconds`` are for
    all classes that are explained together.
    """

    name: str
    map: Map | None
    passes: int
    seconds: float
    reason: str = ""


def check_methods(names: Sequence[str]) -> None:
    """``AblationError`` for a name that is none, naming those that there are."""
    for name in names:
        if name not in METHODS:
            raise AblationError(f"no method {name!r}; there are: {', '.join(METHODS)}")


def method_maps(names: Sequence[str], context: StudyContext, tick: Tick) -> Values:
    """The maps of the methods named; one that cannot be made, as for lack of a gradient, is named
    with the reason and costs no other."""
    out: list[list[MethodMap]] = [[] for _ in context.records]
    for name in names:
        tick()
        started = context.clock()
        try:
            maps, passes = MADE[name](context, tick)
        except AblationError as error:
            for one in out:
                one.append(MethodMap(name, None, 0, 0.0, str(error)))
            continue
        seconds = context.clock() - started
        if name == ABLATION:  # made before, with the explanation
            seconds = context.job.seconds.get(plan.METHOD_CHANNELS, 0.0)
        for one, values in zip(out, maps, strict=True):
            blank = "" if np.nan_to_num(values).any() else "the map is 0 everywhere"
            one.append(MethodMap(name, values, passes, seconds, blank))
    return [{"methods": tuple(one)} for one in out]


def grad_map(activation: Tensor, slope: Tensor) -> Map:
    """(gh, gw): Seg-Grad-CAM of (K, gh, gw) maps and slopes, float64 both."""
    return _map((slope.mean((1, 2))[:, None, None] * activation).sum(0))


def eigen_map(activation: Tensor, slope: Tensor) -> Map:
    """(gh, gw): Seg-Eigen-CAM of (K, gh, gw) maps and slopes, float64 both."""
    weighted = (slope.abs() * activation).flatten(1).T
    left, values, _ = torch.linalg.svd(weighted, full_matrices=False)
    found = left[:, 0] * values[0]
    sign = torch.sign(found[found.abs().argmax()])
    return _map((sign * found).view(activation.shape[1:]))


Made = tuple[Sequence[Map], int]


def _ablation(context: StudyContext, _tick: Tick) -> Made:
    return [one.map for one in context.records], int(context.job.activation.shape[1]) + 1


def _gradient(make: Callable[[Tensor, Tensor], Map]) -> Callable[[StudyContext, Tick], Made]:
    def made(context: StudyContext, _tick: Tick) -> Made:
        activation = context.job.activation[0].to(torch.float64)
        slopes = context.job.slopes()
        return [make(activation, slope) for slope in slopes], 1 + len(slopes)

    return made


def _hires(context: StudyContext, _tick: Tick) -> Made:
    found = context.job.hires()
    return list(found), 1 + len(found)


def _input_occlusion(context: StudyContext, tick: Tick) -> Made:
    case, targets = context.case, context.job.ledger.targets
    grid = (case.aperture.shape[0], case.aperture.shape[1])
    side = min(PATCH_PX, *grid)
    settings = PatchSettings(side, max(1, side // 2), Fill.BLUR, dice=False)
    found = patch_maps(context.whole_model, case, targets, settings, tick)
    run = [b for b in boxes(grid, settings) if case.aperture[b[0] : b[2], b[1] : b[3]].any()]
    return [one.drop for one in found], len(run) + 1


def _mean_map(context: StudyContext, _tick: Tick) -> Made:
    return [one.mean_map for one in context.records], 0


def _random(context: StudyContext, _tick: Tick) -> Made:
    rng = np.random.default_rng(context.settings.seed)
    return [rng.random(one.map.shape, np.float32) for one in context.records], 0


def _map(values: Tensor) -> Map:
    return values.cpu().numpy().astype(np.float32)


MADE: dict[str, Callable[[StudyContext, Tick], Made]] = {
    ABLATION: _ablation,
    GRAD: _gradient(grad_map),
    HIRES: _hires,
    EIGEN: _gradient(eigen_map),
    INPUT: _input_occlusion,
    MEAN: _mean_map,
    RANDOM: _random,
}
