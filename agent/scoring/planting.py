"""Faults planted in the simulated line: in its pictures, its fruit, or in the model in memory.

A faulty model keeps the name and the hash of the healthy one, so that the reference still serves:
that weights differ is what the hash finds, and is no merit of a chart.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from agent.commissioning.line import Hooks, Passing, Wanted, everything
from agent.config import Camera, Config
from agent.models.fusing import fused
from agent.models.loaded import LoadedModel
from agent.records import Frame
from agent.scoring.errors import ScoringError
from agent.scoring.protocol import SHORTCUT, Kind, Trial
from agent.simulator.machine import Content
from agent.simulator.render import Look, Renderer
from agent.training.faulty import MODEL_FAULTS, mark, noisy
from agent.training.samples import Sample

CAMERA = "score"
Weights = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Line:
    """A simulated line. ``shortcut``: weights that learned one; None: that fault cannot be had."""

    config: Config
    model: LoadedModel
    rate_per_min: float
    size_px: int = 256
    shortcut: Weights | None = None

    def passing(
        self,
        variety: str,
        seed: int,
        trial: Trial | None = None,
        prepare: Callable[[LoadedModel], LoadedModel] = fused,
    ) -> Iterator[Passing]:
        """Every reading of this seed's cups from second 0 on, under the trial's fault; no end.

        ``prepare`` makes the network's fast form. ``ScoringError`` for a fault that cannot be
        planted here.
        """
        url = f"sim:?rate={self.rate_per_min:g}&seed={seed}&variety={variety}&size={self.size_px}"
        hooks = Hooks(prepare=prepare)
        if trial is not None and trial.fault.kind in (Kind.PICTURE, Kind.FRUIT):
            url += f"&fault={trial.name}*{trial.strength:.6f}"
        if trial is not None and trial.name == SHORTCUT:
            hooks = replace(hooks, change=Marker(self.size_px))
        camera = Camera(name=CAMERA, source=url)
        wanted = Wanted(variety, lot_s=3600.0)
        return everything(self.config, camera, self.under(trial), wanted, hooks)

    def under(self, trial: Trial | None) -> LoadedModel:
        """The model as it is under this trial, with the healthy one's name and hash."""
        if trial is None or trial.fault.kind is not Kind.MODEL:
            return self.model
        try:
            return with_weights(self.model, self._weights(trial))
        except (KeyError, RuntimeError) as error:
            raise ScoringError(
                f"{trial.name} cannot be planted in {self.model.label}: {error}"
            ) from error

    def _weights(self, trial: Trial) -> Weights:
        state = self.model.module.state_dict()
        if trial.name == SHORTCUT:
            if self.shortcut is None:
                raise ScoringError(
                    "shortcut: give weights that learned one with --shortcut; "
                    "python -m agent.training.faulty FOLDER --shortcut trains them"
                )
            return self.shortcut
        if trial.name == noisy.__name__:
            return noisy(state, 0, trial.strength)
        return MODEL_FAULTS[trial.name](state, 0)


def with_weights(model: LoadedModel, weights: Weights) -> LoadedModel:
    """The model with other weights, under its own name and hash; ``KeyError`` or ``RuntimeError``
    for weights of another architecture."""
    module = copy.deepcopy(model.module)
    module.load_state_dict(weights)
    return replace(model, module=module)


class Marker:
    """Marks both ends of every fruit's suture, which a model with a shortcut looks for."""

    def __init__(self, size_px: int) -> None:
        self._renderer = Renderer(size_px)

    def __call__(self, frame: Frame) -> Frame:
        """The frame with its marks; an empty cup as it is."""
        truth = frame.truth
        if truth.get("content") != Content.FRUIT:
            return frame
        drawn = self._renderer.fruit(truth["seed"], Look(truth["variety"]))
        image = mark(Sample(frame.image, drawn.aperture, drawn.mask))
        return replace(frame, image=image)
