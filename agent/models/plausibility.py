"""How like the fruit that a model was made for a picture is, from maps that are computed anyway.

Each watched layer's activation maps are pooled to their mean, largest value and standard deviation.
The statistics of the model card say how those numbers vary over fruit; the distance of a picture
from them is Mahalanobis' (as in Lee et al., NeurIPS 2018), with the covariance of the standardised
numbers kept as its leading principal axes and one variance for all the others (Tipping and Bishop's
probabilistic principal components). Fruit come in groups (in the middle of the view, moved in it)
whose numbers are no single cloud; the nearest counts, and what only a free-running camera sees of a
fruit counts for such a camera alone. A forward hook reads the maps of the pass that makes the mask,
and changes nothing of it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agent import config
from agent.models.card import FruitGroup
from agent.models.checks import probe_batch
from agent.models.errors import ModelError
from agent.models.loaded import LoadedModel, logits
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]

LEAST_PLAUSIBLE = config.Segmentation().min_plausibility
"""Below it the agent, as it is configured by default, gives no angle."""
STEEPNESS = 8.0
"""Of the map from distance to plausibility: fruit, typically at 0.8 of the limit, come to 0.86, and
twice the limit to 0.004."""


def pooled(maps: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, 3 C): of each map the mean, the largest value, the standard deviation."""
    variance, mean = torch.var_mean(maps, dim=(2, 3), correction=0)
    return torch.cat((mean, maps.amax((2, 3)), variance.sqrt()), dim=1)


class Watched:
    """The pooled maps of some layers, read while ``module`` runs inside of ``watching``.

    Layers that the module lacks, or that are called more or less than once a pass, have none.
    """

    def __init__(self, module: nn.Module, layers: tuple[str, ...]) -> None:
        # The parts of a TorchScript program run inside its interpreter, where no hook is heard.
        scripted = isinstance(module, torch.jit.ScriptModule)
        parts = {} if scripted else dict(module.named_modules())
        self.layers = layers
        self.missing = tuple(layer for layer in layers if layer not in parts)
        self._parts = {layer: parts[layer] for layer in layers if layer in parts}
        self._found: dict[str, list[Tensor]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Pool what the layers give from now to the end of the block; no hook stays behind."""
        self._found = {layer: [] for layer in self._parts}
        handles = [self._hook(layer, part) for layer, part in self._parts.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def taken(self, pictures: int) -> Floats | None:
        """(pictures, D) of the block that ended, its layers side by side; None where a layer gave
        anything but one row a picture."""
        rows = [torch.cat(found) for found in self._found.values() if found]
        whole = len(rows) == len(self._found) and all(len(one) == pictures for one in rows)
        if self.missing or not rows or not whole:
            return None
        return torch.cat(rows, dim=1).double().cpu().numpy()

    def _hook(self, layer: str, part: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                self._found[layer].append(pooled(output.detach()))

        return part.register_forward_hook(note)


class Plausibility:
    """Says of each picture of a pass how plausible it is. ``known`` is false where the model cannot
    tell: then every plausibility is NaN, and the log has said why once.

    ``ModelError`` where the card's statistics were made with other weights.
    """

    def __init__(self, model: LoadedModel) -> None:
        statistics = model.card.plausibility
        self.known = False
        if statistics is None:
            _unknown(model, "its card holds no statistics of fruit")
            return
        if statistics.weights_sha256 != model.sha256:
            raise ModelError(
                f"{model.label}: the card's plausibility was made with the weights "
                f"{statistics.weights_sha256[:12]}, not {model.sha256[:12]}: make it anew "
                "(python -m agent.training.plausibility), or take it out of the card"
            )
        self._watched = Watched(model.module, statistics.layers)
        self._spaces = [FruitSpace(group) for group in statistics.groups]
        if _width_of(model, self._watched) != statistics.groups[0].width:
            _unknown(model, f"its layers {', '.join(statistics.layers)} cannot be watched")
            return
        self.known = True

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Wrap the forward pass whose pictures are to be judged."""
        if not self.known:
            yield
            return
        with self._watched.watching():
            yield

    def plausibility(self, pictures: int) -> Floats:
        """(pictures, 2) in [0, 1] of the pass that was watched, for a triggered camera and for a
        free-running one: that of the group of fruit which each picture is most like. NaN where not
        known."""
        rows = self._watched.taken(pictures) if self.known else None
        if rows is None:
            return np.full((pictures, 2), math.nan)
        still, passing = np.zeros(pictures), np.zeros(pictures)
        for space in self._spaces:
            found = plausibility_of(space.distances(rows), space.limit)
            passing = np.maximum(passing, found)
            if not space.free_run:
                still = np.maximum(still, found)
        return np.stack((still, passing), axis=1)


def plausibility_of_batch(model: LoadedModel, judged: Plausibility, batch: Tensor) -> Floats:
    """(N,) for a triggered camera, of network input (N, C, h, w), in a pass of its own."""
    with judged.watching():
        logits(model, batch)
    return judged.plausibility(len(batch))[:, 0]


class FruitSpace:
    """The statistics of one group of a card, unpacked once."""

    def __init__(self, group: FruitGroup) -> None:
        self.limit, self.free_run = group.limit, group.free_run
        self._centre, self._scale = group.centre_array(), group.scale_array()
        self._axes = group.axes_array().T
        self._weights = 1.0 / np.array(group.variances, np.float64)
        self._rest = group.rest

    def distances(self, rows: Floats) -> Floats:
        """Of (N, D) pooled numbers: (N,) root of the mean squared distance, about 1 for fruit;
        infinite where a number is not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            z = (rows - self._centre) / self._scale
            along = np.square(z @ self._axes)
            across = np.maximum(np.square(z).sum(1) - along.sum(1), 0.0)
            found = np.sqrt((along @ self._weights + across / self._rest) / rows.shape[1])
        return np.where(np.isfinite(found), found, np.inf)


def plausibility_of(distance: Floats, limit: float) -> Floats:
    """1 / (1 + (distance / limit)^STEEPNESS): near 1 for usual fruit, 0.5 at the limit, 0 far away.

    Its logit is a straight line in the logarithm of the distance, which charts can average.
    """
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.power(distance / limit, STEEPNESS))


def _width_of(model: LoadedModel, watched: Watched) -> int:
    """How many numbers the watched layers give a picture; 0 where they cannot be watched."""
    if watched.missing:
        return 0
    batch = probe_batch(model)
    with watched.watching():
        logits(model, batch)
    rows = watched.taken(len(batch))
    return 0 if rows is None else rows.shape[1]


def _unknown(model: LoadedModel, reason: str) -> None:
    log_event(logger, logging.INFO, "plausibility_unknown", model=model.name, reason=reason)
