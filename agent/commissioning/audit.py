"""Is this model fit to be a reference at all? Absolute limits, before anything is collected.

A chart compares a model with its own past; a model that has always looked at the wrong thing would
be blessed by it. So a handful of fruit is explained first, and judged by limits that hold for any
model of this kind:

- *explained*: in most pictures a suture is found and can be explained
- *foreground sensitivity*: blurring the suture out of the picture must matter
- *context reliance*: blurring as many background cells must matter less than that
- *gain over random cells*, *over the mean map*: setting the layer's cells that the map ranks first
  to the baseline must cost more than as many random ones, and on the mean no less than those that
  the plain mean of the activation maps ranks first (an explanation that is worse than that control
  explains nothing)
- *parameter randomisation*: with the weights shuffled, the map must become another one (Adebayo et
  al., NeurIPS 2018); a map that stays shows the picture's edges and not the model
- *different answers*: different fruit must get different masks; a model that ignores its input
  gives the same one
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from agent import config
from agent.ablation.core.errors import AblationError
from agent.ablation.core.perturbation import Item
from agent.ablation.core.ranks import rank_correlation
from agent.ablation.engine import Engine
from agent.ablation.result import EngineResult
from agent.ablation.split.split import HookSplit
from agent.alarms.charts.reference import Finding
from agent.models.loaded import LoadedModel
from agent.records import SUTURE, ClassExplanation, Frame

FRUIT = 20
SHUFFLED = 6
"""So many are explained with shuffled weights too, which is slow: nothing is sparse there."""
LEAST_EXPLAINED = 0.7
LEAST_FOREGROUND = 0.2
MOST_RELIANCE = 0.5
LEAST_GAIN = 0.0
LEAST_AT_STAKE = 0.5
"""Margin (in logits) that the whole layer must cost for a share of it to mean anything."""
MOST_LIKENESS = 0.6
MOST_OVERLAP = 0.8
Z = 1.645
"""Means are judged by their one-sided 95 % bound, in favour of no model."""


@dataclass(frozen=True, slots=True)
class Audited:
    """One fruit of the audit: the frame, what the engine found, and this fruit's own numbers."""

    frame: Frame
    result: EngineResult
    over_random: float = math.nan
    over_mean: float = math.nan
    likeness: float = math.nan

    @property
    def suture(self) -> ClassExplanation | None:
        found = next((one for one in self.result.classes if one.class_name == SUTURE), None)
        return found if found is not None and found.explainable else None


@dataclass(frozen=True, slots=True)
class Audit:
    """``findings`` in the order of the module's text; ``cases`` for the pictures."""

    findings: tuple[Finding, ...]
    cases: tuple[Audited, ...]

    @property
    def passed(self) -> bool:
        return all(finding.passed for finding in self.findings)


def audit(
    engine: Engine, frames: Sequence[Frame], told: Callable[[int], None] = lambda _done: None
) -> Audit:
    """Explain ``frames`` and judge; ``told`` hears how many are done."""
    shuffled = _shuffled_engine(engine)
    hook = HookSplit(engine.model, engine.layer)
    cases = []
    for index, frame in enumerate(frames):
        cases.append(_case(engine, hook, shuffled if index < SHUFFLED else None, frame))
        told(index + 1)
    return Audit(judged(cases), tuple(cases))


def judged(cases: Sequence[Audited]) -> tuple[Finding, ...]:
    """The findings; a number that is undefined everywhere fails, since nothing then speaks for the
    model."""
    explained = [one.suture for one in cases]
    found = [one for one in explained if one is not None]
    share = len(found) / len(cases) if cases else 0.0
    foreground = [one.input_sensitivity_foreground for one in found]
    reliance = [one.input_context_reliance for one in found]
    return (
        _at_least(
            "explained", share, LEAST_EXPLAINED, "share of fruit whose suture can be explained"
        ),
        _at_least(
            "foreground_sensitivity",
            _bound(foreground, -1),
            LEAST_FOREGROUND,
            "what blurring the suture out of the picture costs, against blurring all of it",
        ),
        _at_most(
            "context_reliance",
            _bound(reliance, 1),
            MOST_RELIANCE,
            "share of the background in what decides the suture",
        ),
        _at_least(
            "gain_over_random",
            _bound([one.over_random for one in cases], -1),
            LEAST_GAIN,
            "what the map's first cells cost beyond random ones",
        ),
        _at_least(
            "gain_over_mean_map",
            _bound([one.over_mean for one in cases], 0),
            LEAST_GAIN,
            "what the map's first cells cost beyond the mean map's",
        ),
        _at_most(
            "parameter_randomisation",
            _bound([one.likeness for one in cases], 1),
            MOST_LIKENESS,
            "rank correlation of the map with that of shuffled weights",
        ),
        _at_most(
            "same_answer",
            _overlap([one.result.mask for one in cases]),
            MOST_OVERLAP,
            "overlap of the foreground of one fruit with that of the next",
        ),
    )


def _at_least(name: str, value: float, limit: float, text: str) -> Finding:
    return _finding(name, value, limit, value >= limit, f"{text}: {value:.3g}, at least {limit:g}")


def _at_most(name: str, value: float, limit: float, text: str) -> Finding:
    return _finding(name, value, limit, value <= limit, f"{text}: {value:.3g}, at most {limit:g}")


def _finding(name: str, value: float, limit: float, passed: bool, text: str) -> Finding:
    if not math.isfinite(value):
        return Finding(
            name=name, value=0.0, limit=limit, passed=False, text=f"{text} (undefined everywhere)"
        )
    return Finding(name=name, value=value, limit=limit, passed=passed, text=text)


def _bound(values: Sequence[float], sign: int) -> float:
    """The mean, moved by its uncertainty towards ``sign``; NaN without two defined values."""
    kept = np.array([value for value in values if math.isfinite(value)])
    if len(kept) < 2:
        return math.nan
    return float(kept.mean() + sign * Z * kept.std(ddof=1) / math.sqrt(len(kept)))


def _overlap(masks: Sequence[NDArray[np.uint8]]) -> float:
    """Mean intersection over union of the foregrounds of neighbours; 1 where there is none."""
    found = []
    for one, other in pairwise(masks):
        union = int(((one > 0) | (other > 0)).sum())
        found.append(int(((one > 0) & (one == other)).sum()) / union if union else 1.0)
    return math.fsum(found) / len(found) if found else math.nan


def _case(engine: Engine, hook: HookSplit, shuffled: Engine | None, frame: Frame) -> Audited:
    result = engine.explain(frame.image, frame.aperture)
    case = Audited(frame, result)
    suture = case.suture
    if suture is None:
        return case
    likeness = math.nan
    if shuffled is not None:
        try:
            other = shuffled.explain(frame.image, frame.aperture, region=result.mask)
        except AblationError:
            other = None  # shuffled weights may well give what cannot be explained
        again = None if other is None else replace(case, result=other).suture
        if again is not None:
            likeness = rank_correlation(suture.map, again.map)
    over_random, over_mean = _gains(engine.model, hook, result, suture)
    return replace(case, over_random=over_random, over_mean=over_mean, likeness=likeness)


def _shuffled_engine(engine: Engine) -> Engine | None:
    """The same engine with every tensor of weights in another order; None where that cannot run."""
    try:
        module = copy.deepcopy(engine.model.module)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weights in module.parameters():
                order = torch.randperm(weights.numel(), generator=generator).to(weights.device)
                weights.copy_(weights.flatten()[order].view_as(weights))
        model = replace(engine.model, module=module)
        settings = config.Ablation(classes=(SUTURE,), fractions=(1.0,))
        return Engine(model, settings, engine.layer)
    except (AblationError, RuntimeError):
        return None


def _gains(
    model: LoadedModel, hook: HookSplit, result: EngineResult, suture: ClassExplanation
) -> tuple[float, float]:
    """What the map's first cells cost beyond random ones, and beyond the mean map's first.

    Shares of what the whole layer costs, for as many cells as the suture covers; NaN where the
    layer hardly matters.
    """
    index = model.classes.index(SUTURE)
    region = (result.mask == index) & result.aperture
    size = suture.map.size
    cells = max(1, round(int(region.sum()) * size / region.size))
    chance = np.random.default_rng(cells).random(suture.map.shape, np.float32)
    x = torch.from_numpy(result.input)[None].to(model.device)
    everything = np.zeros(suture.map.shape, np.float32)

    def margin(ranked: NDArray[np.float32], count: int) -> float:
        item = Item(cells=first_cells(ranked, count))
        baseline = torch.zeros(1, suture.deltas.size, 1, 1, device=model.device)
        with torch.no_grad():
            z = hook.rerun(x, item, baseline)[0].double()
            others = torch.cat((z[:index], z[index + 1 :])).logsumexp(0)
            return float((z[index] - others).cpu().numpy()[region].mean())

    whole = margin(everything, 0) - margin(everything, size)
    if not whole > LEAST_AT_STAKE:
        return math.nan, math.nan
    own = margin(suture.map, cells)
    return (margin(chance, cells) - own) / whole, (margin(suture.mean_map, cells) - own) / whole


def first_cells(ranked: NDArray[np.float32], count: int) -> NDArray[np.bool_]:
    """The ``count`` largest cells."""
    out = np.zeros(ranked.size, np.bool_)
    out[np.argsort(-ranked.ravel(), kind="stable")[:count]] = True
    return out.reshape(ranked.shape)
