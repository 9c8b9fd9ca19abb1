"""Occlusion of a class's regions in the input picture: a check on that at the layer.

Skips of earlier levels bypass an occlusion at one layer, so a healthy network may hardly feel it
there. Nothing bypasses the input. The same cells are hidden as at the layer: those of the class, an
equal number of background cells (averaged over seeded draws), and, as the scale, all of them::

    sensitivity(region) = (y - y_region) / (y - y_all), clipped to [0, 1], margin score

A hidden cell shows the picture blurred so far that neither the suture nor the stem is left, not one
flat colour: the border of a flat patch is itself an edge that a network may take for a suture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent import config
from agent.ablation.core.case import Case
from agent.ablation.core.regions import Mask, class_cells, equal_draws, nearest
from agent.ablation.core.scores import MARGIN, Target
from agent.ablation.core.summary import MIN_SENSITIVITY
from agent.ablation.core.tolerance import context_reliance, ratio
from agent.ablation.run.whole_model import WholeModel
from agent.records import ClassExplanation

BLUR = 1 / 16
"""Standard deviation of the blur as a share of the picture's shorter side: two widths of the bar
that marks a suture (15 to 18 px of 256) lie within one and a half of it."""
MIN_EFFECT = 0.5
"""Margin (in logits) that blurring the whole picture must cost, or nothing can be said."""


@dataclass(frozen=True, slots=True)
class InputSensitivity:
    """Of one class, each in [0, 1]; NaN where it is undefined."""

    foreground: float
    background: float
    context_reliance: float


UNDEFINED = InputSensitivity(math.nan, math.nan, math.nan)


def input_sensitivities(
    whole_model: WholeModel,
    case: Case,
    targets: Sequence[Target],
    grid: tuple[int, int],
    settings: config.Ablation,
) -> list[InputSensitivity]:
    """One per target. ``grid`` (gh, gw) are the cells, those of the layer.

    Costs one run of the model per class for the foreground, ``settings.background_draws`` for the
    background, one for all, and one for the picture as it is, read on the targets' regions alone.
    """
    rng = np.random.default_rng(settings.seed)
    masks: list[Mask] = [np.ones(grid, np.bool_)]
    places: list[tuple[int, list[int]]] = []
    for target in targets:
        region = target.region.cpu().numpy()
        cells = class_cells(region, case.aperture, grid, settings.region_threshold)
        count = int(cells.foreground.sum())
        draws = equal_draws(cells.background, count, settings.background_draws, rng)
        foreground = len(masks)
        masks += [cells.foreground, *draws]
        places.append((foreground if count else -1, list(range(foreground + 1, len(masks)))))
    pixels = torch.stack([t.region for t in targets]).any(0)
    reader = whole_model.reader(case, pixels, targets, len(masks))
    rows = reader.run(_hidden(case, masks))
    out = []
    for target, (foreground, background) in zip(reader.seen.targets, places, strict=True):
        lost = MARGIN.drop(reader.base[0], rows, target).tolist()
        if foreground < 0 or not background or not all(map(math.isfinite, lost)):
            out.append(UNDEFINED)
            continue
        mean = math.fsum(lost[i] for i in background) / len(background)
        on_class = ratio(lost[foreground], lost[0], MIN_EFFECT)
        on_background = ratio(mean, lost[0], MIN_EFFECT)
        reliance = context_reliance(on_class, on_background, MIN_SENSITIVITY)
        out.append(InputSensitivity(on_class, on_background, reliance))
    return out


def with_input(record: ClassExplanation, found: InputSensitivity) -> ClassExplanation:
    """The record of a class with what its occlusion in the input showed."""
    return replace(
        record,
        input_sensitivity_foreground=found.foreground,
        input_sensitivity_background=found.background,
        input_context_reliance=found.context_reliance,
    )


def blurred(x: NDArray[np.float32], aperture: Mask) -> NDArray[np.float32]:
    """(C, h, w) -> the same, blurred inside the aperture alone: what lies outside must not leak in,
    or the border of the field of view would become an edge of another kind."""
    sigma = BLUR * min(x.shape[1:])
    weight = aperture.astype(np.float32)
    share = cv2.GaussianBlur(weight, (0, 0), sigma) + np.float32(1e-6)
    planes = [cv2.GaussianBlur(plane * weight, (0, 0), sigma) / share for plane in x]
    return np.where(aperture, np.stack(planes), x).astype(np.float32)


def _hidden(case: Case, masks: Sequence[Mask]) -> Tensor:
    """(N, C, h, w): the picture with each mask's cells blurred."""
    x = case.x[0].float().cpu().numpy()
    instead = blurred(x, case.aperture)
    size = (x.shape[1], x.shape[2])
    pictures = [np.where(nearest(mask, size) & case.aperture, instead, x) for mask in masks]
    return torch.from_numpy(np.stack(pictures)).to(case.x)
