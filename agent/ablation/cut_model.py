"""A network cut at one layer, and whatever its pictures share: ways, baselines, turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from agent import config
from agent.ablation.core.arguments import instance
from agent.ablation.core.case import (
    Case,
    Picture,
    check_classes,
    check_dtype,
    layer_name,
    load_case,
)
from agent.ablation.core.errors import AblationError
from agent.ablation.core.focus import Focus
from agent.ablation.core.regions import Mask
from agent.ablation.core.scores import Target
from agent.ablation.request import Asked, Tuning
from agent.ablation.run.baselines import Baselines
from agent.ablation.run.batching import choose_batch
from agent.ablation.run.fast_path import build_fast_path
from agent.ablation.run.job import Job
from agent.ablation.run.ladder import climb, slower_ways
from agent.ablation.run.runners import Setup
from agent.ablation.run.whole_model import WholeModel
from agent.ablation.split.left import LeftWays
from agent.ablation.split.split import (
    HookSplit,
    build_split,
    check_mode,
    check_weights,
    find_layer,
    no_slower,
    watchable,
)
from agent.ablation.turns import TURNS, plainly
from agent.models.checks import probe_batch
from agent.models.loaded import LoadedModel
from agent.records import Rung

Ran = TypeVar("Ran")


class CutModel:
    """What ``Engine`` explains with; arguments and errors are there."""

    def __init__(
        self,
        model: LoadedModel,
        settings: config.Ablation,
        layer: str | nn.Module | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        instance(LoadedModel, "model (made by explainable or load_model)", model)
        instance(config.Ablation, "settings", settings)
        self._tuning = tuning = Tuning() if tuning is None else tuning
        instance(Tuning, "tuning", tuning)
        layer = layer_name(model, layer)
        check_mode(model)
        check_weights(model)
        check_classes(model, settings.classes)
        self.model, self.settings = model, settings
        with TURNS.building(), plainly(model.device):
            example = probe_batch(model)[:1]
            try:
                model = watchable(model, example)
                self.layer = find_layer(model, layer, example)
            except RuntimeError:  # the first time that the network runs
                check_dtype(model)
                raise
            self._left = LeftWays()
            split = build_split(model, self.layer, example, self._left)
            prepared = split.prefix(example)
            zero = torch.zeros_like(prepared.activation[:, :, :1, :1])
            self._baselines = Baselines(model, self.layer, zero, tuning.reference)
            baseline = self._baselines.of(settings.baseline)
            self._grid = (int(prepared.activation.shape[2]), int(prepared.activation.shape[3]))
            operations = None
            if tuning.rows:
                operations = build_fast_path(
                    model, self.layer, split, example, baseline, tuning.clock, self._left
                )
            plain = HookSplit(model, self.layer)
            if operations is None:
                split = no_slower(split, plain, example, self._left, tuning.clock)
                prepared = split.prefix(example)
            batch = tuning.batch if split.together else 1
            self._setup = Setup(
                model=model,
                settings=settings,
                plain=plain,
                split=split,
                baseline=baseline,
                batch=batch or choose_batch(split, prepared, tuning.clock),
                clock=tuning.clock,
                operations=operations,
                halved=self._remember,
                left=self._left,
            )
            self._slower = slower_ways(self._setup)
            self._watched, self._example = model, example
        self._whole: list[WholeModel] = []  # one at most; engines of other layers share it
        self._spot_rng = np.random.default_rng(settings.seed)

    def _remember(self, batch: int) -> None:
        """No more than this a pass from now on: the device ran out of memory, once allowed."""
        self._setup = replace(self._setup, batch=batch, halved=None)

    @property
    def _whole_model(self) -> WholeModel:
        """Made when it is first needed: deltas alone never do."""
        if not self._whole:
            with TURNS.building(), plainly(self.model.device):
                if not self._whole:
                    self._whole.append(WholeModel(self._watched, self._example, self._left))
        return self._whole[0]

    @property
    def channels(self) -> int:
        """How many maps the layer has."""
        return int(self._setup.baseline.shape[1])

    @property
    def has_both_baselines(self) -> bool:
        """Whether the means of the layer's channels are known."""
        return len(self._baselines) > 1

    @property
    def path(self) -> str:
        """How the model is run from the layer on: ``hook`` (whole, with a hook), ``replay`` (what
        ended before the layer is replayed), ``fx`` or ``export`` (cut in two), with ``+rows`` where
        only the pixels that are read are run."""
        return self._setup.path

    @property
    def ways_left(self) -> tuple[str, ...]:
        """The faster ways that are not taken, ``way: reason`` each; see ``EngineResult``."""
        return self._left.lines

    def load(
        self,
        picture: Picture,
        aperture: Mask | None = None,
        region: Focus | NDArray[np.uint8] | str | None = None,
    ) -> Case:
        """A picture's plain prediction, which engines of other layers of this model take in the
        picture's place. Arguments as in ``explain``."""
        check_mode(self.model)
        with self._turn():
            try:
                return load_case(self.model, picture, aperture, region)
            except RuntimeError:
                check_dtype(self.model)  # it may have been converted since
                raise

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Whatever runs the network, runs in it."""
        with TURNS.using(self.model.module, self._watched.module), plainly(self.model.device):
            yield

    def _case(
        self,
        picture: Picture | Case,
        aperture: Mask | None,
        region: Focus | NDArray[np.uint8] | str | None,
    ) -> Case:
        if not isinstance(picture, Case):
            return self.load(picture, aperture, region)
        if picture.module is not self.model.module:
            raise AblationError("a loaded case belongs to the model that loaded it")
        if aperture is not None or region is not None:
            raise AblationError("a loaded case has its aperture and region: give them to load")
        return picture

    def _first_way(
        self,
        case: Case,
        targets: Sequence[Target],
        wanted: Asked,
        rung: Rung,
        run: Callable[[Job], Ran],
    ) -> tuple[Job, Ran]:
        """A job and what ``run`` made of it, by the fastest way that does it; those that failed on
        the way there are left."""

        def attempt(setup: Setup) -> tuple[Job, Ran]:
            job = self._job(setup, case, targets, wanted, rung)
            return job, run(job)

        setups = (self._setup, *self._slower)
        found, remaining = climb(setups, attempt)
        if len(remaining) < len(setups):
            self._setup, *slower = remaining
            self._slower = tuple(slower)
        return found

    def _job(
        self, setup: Setup, case: Case, targets: Sequence[Target], wanted: Asked, rung: Rung
    ) -> Job:
        based = replace(setup, baseline=self._baselines.of(wanted.baseline))
        return Job(based, case, targets, rung, self._spot_rng)
