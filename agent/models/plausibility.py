"""How like the fruit that a model was made for a picture is, from maps that are computed anyway.

Each watched layer's activation maps are pooled to their mean and standard deviation.
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

import cv2
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
ROWS = 48
MOST_CHANNELS = 128
"""Of a picture in OpenCV 5; 4 had 512."""
STEEPNESS = 8.0
"""Of the map from distance to plausibility: fruit, typically at 0.8 of the limit, come to 0.86, and
twice the limit to 0.004."""


def pooled(maps: Tensor) -> Floats:
    """(N, C, h, w) -> (N, 2 C): of each map the mean and the standard deviation, over every row of
    a coarse map and about ``ROWS`` evenly spaced ones of a fine one, whose neighbours say the same.

    By OpenCV, which goes once over maps in channels-last memory and adds in double precision:
    ``torch.var_mean`` of whole maps took 40 % of the network's own time.
    """
    step = maps.shape[2] // ROWS
    if step > 1:
        maps = maps[:, :, ::step]
    if maps.dtype is not torch.float32 or maps.is_cuda:
        maps = maps.float().cpu()
    pictures = maps.permute(0, 2, 3, 1).numpy()
    count, channels = maps.shape[:2]
    out = np.empty((count, 2, channels))
    for index in range(count):
        if channels <= MOST_CHANNELS:
            mean, deviation = cv2.meanStdDev(pictures[index])
            out[index, 0], out[index, 1] = mean[:, 0], deviation[:, 0]
        else:
            cells = pictures[index].reshape(-1, channels)
            out[index] = cells.mean(0, np.float64), cells.std(0, np.float64)
    return out.reshape(count, 2 * channels)


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
        """Keep what the layers give from now to the end of the block; no hook stays behind."""
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
        # All at once, and not in the hooks: between two convolutions every call finds the
        # processor's caches full of weights, which made the same work cost three times as much.
        rows = [
            pooled(each[0]) if len(each) == 1 else np.concatenate([pooled(one) for one in each])
            for each in self._found.values()
            if each
        ]
        self._found = {layer: [] for layer in self._parts}
        whole = len(rows) == len(self._found) and all(len(one) == pictures for one in rows)
        if self.missing or not rows or not whole:
            return None
        return np.concatenate(rows, axis=1)

    def _hook(self, layer: str, part: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                self._found[layer].append(output.detach())

        return part.register_forward_hook(note)


class Plausibility:
    """Says of each picture of a pass how plausible it is. ``known`` is false where the model cannot
    tell: then every plausibility is NaN, and the log has said why once.

    ``ModelError`` where the card's statistics were made with other weights.
    """

    def __init__(self, model: LoadedModel, free_run: bool = False) -> None:
        """``free_run``: whether any camera is one; else what only those see is not computed."""
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
        made_of = statistics.preprocessing or model.card.preprocessing
        if made_of is not None and made_of != model.preprocessing:
            _unknown(model, "its pictures are prepared otherwise than those of the card's fruit")
            return
        self._watched = Watched(model.module, statistics.layers)
        self._spaces = [
            FruitSpace(group) for group in statistics.groups if free_run or not group.free_run
        ]
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
        found = np.zeros((pictures, 2))
        for space in self._spaces:
            of_space = space.plausibility(rows)
            np.maximum(found[:, 1], of_space, out=found[:, 1])
            if not space.free_run:
                np.maximum(found[:, 0], of_space, out=found[:, 0])
        return found


def plausibility_of_batch(model: LoadedModel, judged: Plausibility, batch: Tensor) -> Floats:
    """(N,) for a triggered camera, of network input (N, C, h, w), in a pass of its own, if any can
    tell."""
    if judged.known:
        with judged.watching():
            logits(model, batch)
    return judged.plausibility(len(batch))[:, 0]


class FruitSpace:
    """The statistics of one group of a card, unpacked once."""

    def __init__(self, group: FruitGroup) -> None:
        self.free_run = group.free_run
        self._limit, self._rest = group.limit, group.rest
        self._centre, self._scale = group.centre_array(), 1.0 / group.scale_array()
        # |z|^2 / rest is everything as if it lay across the axes; along them it is less.
        less = 1.0 / group.rest - 1.0 / np.array(group.variances, np.float64)
        self._axes = group.axes_array() * np.sqrt(np.maximum(less, 0.0))[:, None]

    def distances(self, rows: Floats) -> Floats:
        """Of (N, D) pooled numbers: (N,) root of the mean squared distance, about 1 for fruit;
        infinite where a number is not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.sqrt(np.maximum(self._squared(rows), 0.0))
        return np.where(np.isfinite(found), found, np.inf)

    def plausibility(self, rows: Floats) -> Floats:
        """(N,) of pooled numbers (N, D)."""
        return plausibility_of(self.distances(rows), self._limit)

    def _squared(self, rows: Floats) -> Floats:
        z = (rows - self._centre) * self._scale
        along = z @ self._axes.T
        across = np.einsum("nd,nd->n", z, z) / self._rest
        squared: Floats = (across - np.einsum("nd,nd->n", along, along)) / rows.shape[1]
        return squared


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
