"""What a hidden part of the input is replaced by, and such pictures through the model."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.core.arguments import named
from agent.ablation.core.case import Case
from agent.ablation.core.effects import View
from agent.ablation.core.regions import Mask
from agent.ablation.run.batching import Tick
from agent.ablation.run.controls import spot_check
from agent.ablation.run.input_occlusion import blurred
from agent.ablation.run.whole_model import BATCH, Reader
from agent.models.loaded import LoadedModel, as_logits


class Fill(enum.StrEnum):
    """What a hidden part of the input shows; see ``filled``."""

    ZERO = "zero"
    MEAN = "mean"
    BLUR = "blur"


def fill_named(name: object) -> Fill:
    """``AblationError`` naming those that there are for any other."""
    return named(Fill, "fill", name)


def filled(case: Case, fill: Fill) -> NDArray[np.float32]:
    """(C, h, w) float32: the picture as the network would see it with everything hidden.

    ``zero`` is the 0 of the network's own input, ``mean`` the mean colour inside the aperture,
    ``blur`` the picture blurred so far that no line is left. Outside the aperture nothing changes.
    """
    fill = fill_named(fill)
    x = case.x[0].float().cpu().numpy()
    if fill is Fill.BLUR:
        return blurred(x, case.aperture)
    if fill is Fill.MEAN:
        colour = x[:, case.aperture].mean(axis=1) if case.aperture.any() else x.mean(axis=(1, 2))
    else:
        colour = np.zeros(len(x), np.float32)
    return np.where(case.aperture, colour[:, None, None], x).astype(np.float32)


def hidden_runs(
    reader: Reader,
    case: Case,
    masks: Iterable[Mask],
    instead: NDArray[np.float32],
    tick: Tick,
) -> Iterator[Tensor]:
    """(1, classes, P) logits for each (h, w) mask, on the reader's pixels: those of the mask inside
    the aperture show ``instead``. ``tick`` comes before each batch."""
    x = case.x
    other = torch.from_numpy(instead).to(x)
    waiting: list[Mask] = []

    def run() -> Iterator[Tensor]:
        tick()
        chosen = torch.from_numpy(np.stack(waiting) & case.aperture).to(x.device)
        rows = reader.run(torch.where(chosen[:, None], other, x))
        waiting.clear()
        yield from torch.split(rows, 1)

    for mask in masks:
        waiting.append(mask)
        if len(waiting) == BATCH:
            yield from run()
    if waiting:
        yield from run()


def check_hidden(
    model: LoadedModel,
    case: Case,
    seen: View,
    hidden: Mask,
    instead: NDArray[np.float32],
    name: str,
    drops: Sequence[float],
) -> None:
    """Run one such picture, whose hidden part has a ``name``, through the plain model;
    ``AblationError`` where its ``drops``, one per target, differ beyond rounding."""
    x = case.x
    chosen = torch.from_numpy(hidden & case.aperture).to(x.device)
    changed = torch.where(chosen, torch.from_numpy(instead).to(x), x)
    again = as_logits(model, model.module(changed), (x.shape[2], x.shape[3]))
    for place, drop in enumerate(drops):
        spot_check(model.head, case.logits, seen, place, name, drop, again)
