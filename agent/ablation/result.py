"""What the engine hands back for one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.core.summary import Checked
from agent.ablation.studies.studies import Studied
from agent.records import ClassExplanation, Rung


@dataclass(frozen=True, slots=True)
class EngineResult:
    """The classes' explanations and the arrays they were read from.

    ``input`` (C, h, w) float32 is the picture as the network saw it, ``logits`` (C, h, w) float32
    the plain model's, ``mask`` (h, w) uint8 their argmax, ``aperture`` (h, w) bool on that grid.
    ``path`` names the way the model was run from the layer on, ``ways_left`` the faster ones that
    were not taken, ``way: reason`` each. ``seconds`` is the whole call.
    ``classes`` are by the first score asked for, which ``score`` names; ``more`` by the others.
    ``studies`` holds the arrays of what was studied, by class and score.
    """

    classes: tuple[ClassExplanation, ...]
    rung: Rung
    method: str
    layer: str
    path: str
    score: str
    baseline: str
    region_threshold: float
    region_source: str
    left_out: tuple[str, ...]
    seconds: float
    seconds_by_method: Mapping[str, float]
    input: NDArray[np.float32]
    logits: NDArray[np.float32]
    mask: NDArray[np.uint8]
    aperture: NDArray[np.bool_]
    more: tuple[ClassExplanation, ...] = ()
    studies: Mapping[tuple[str, str], Studied] = field(default_factory=dict)
    ways_left: tuple[str, ...] = ()

    def of(self, class_name: str, score: str | None = None) -> ClassExplanation:
        """The explanation of one class, by the first score or the one named; ``KeyError`` naming
        those that there are."""
        wanted = score or self.score
        known = (*self.classes, *self.more)
        for one in known:
            if one.class_name == class_name and one.score == wanted:
                return one
        there = ", ".join(f"{one.class_name} by {one.score}" for one in known)
        raise KeyError(f"no {class_name} by {wanted}; there are: {there}")

    def study(self, class_name: str, score: str | None = None) -> Studied:
        """What was studied of one class; all empty where nothing was. ``KeyError`` as ``of``."""
        found = self.of(class_name, score)
        return self.studies.get((found.class_name, found.score), Studied())


@dataclass(frozen=True, slots=True, eq=False)
class Deltas:
    """Ablation-CAM of N pictures and nothing beside: tensors on the model's device, without a
    graph.

    ``values`` (N, S, T, K) float64 are the drops of S scores of T classes by each of the K
    ``channels``; ``y`` and ``y_null`` (N, S, T) float64 the scores of the plain model and of the
    null item; all NaN where a class has nothing to explain, and ``reasons`` [n][s][t] says why,
    empty elsewhere. ``activation`` (N, K, gh, gw) are the maps of those channels.
    """

    values: Tensor
    y: Tensor
    y_null: Tensor
    activation: Tensor
    reasons: tuple[tuple[tuple[str, ...], ...], ...]
    classes: tuple[str, ...]
    scores: tuple[str, ...]
    channels: tuple[int, ...]
    layer: str
    path: str
    baseline: str

    def maps(self) -> Tensor:
        """(N, S, T, gh, gw): the signed maps, h = sum over k of delta_k A_k of these channels."""
        wide = self.activation.to(torch.float64)
        return torch.einsum("nstk,nkhw->nsthw", self.values, wide).to(self.activation.dtype)

    def of(self, class_name: str, score: str | None = None) -> Tensor:
        """(N, K): the drops of one class, by the first score or the one named; ``KeyError`` naming
        those that there are."""
        wanted = score or self.scores[0]
        if class_name not in self.classes or wanted not in self.scores:
            there = f"{', '.join(self.classes)} by {', '.join(self.scores)}"
            raise KeyError(f"no {class_name} by {wanted}; there are: {there}")
        return self.values[:, self.scores.index(wanted), self.classes.index(class_name)]


def not_explainable(name: str, reason: str, score: str = "") -> ClassExplanation:
    """The record of a class that has nothing to explain: no numbers, and why."""
    nan = float("nan")
    return ClassExplanation(
        class_name=name,
        explainable=False,
        score=str(score),
        reason=reason,
        y=nan,
        y_null=nan,
        null_tolerance=nan,
        y_all=nan,
        deltas=np.zeros(0),
        map=np.zeros((0, 0), np.float32),
        mean_map=np.zeros((0, 0), np.float32),
        exact=np.zeros(0, np.bool_),
        estimate_error=nan,
        spot_channel=-1,
        spot_error=nan,
        all_ones_share=nan,
        sign_balance=nan,
        sensitivity_foreground=nan,
        sensitivity_background=nan,
        context_reliance=nan,
        occlusions=(),
    )


@dataclass(frozen=True, slots=True)
class ChannelDrops:
    """Of one picture: all ``maps`` (1, K, gh, gw), ``drops`` (targets, K) and what the controls
    found, for those targets that have no reason in ``reasons``, score by score and class by
    class."""

    maps: Tensor
    drops: NDArray[np.float64]
    checked: Sequence[Checked]
    reasons: tuple[str, ...]


def stacked(
    found: Sequence[ChannelDrops],
    channels: tuple[int, ...],
    names: tuple[Sequence[str], Sequence[str]],
    engine: tuple[str, str, str],
) -> Deltas:
    """Pictures as one; ``names`` are those of the scores and of the classes, ``engine`` its layer,
    path and baseline."""
    scores, classes = names
    shape = (len(found), len(scores), len(classes))
    numbers = np.full((len(found), len(scores) * len(classes), 2 + len(channels)), np.nan)
    for n, one in enumerate(found):
        explained = [place for place, reason in enumerate(one.reasons) if not reason]
        for place, checked, drops in zip(explained, one.checked, one.drops, strict=True):
            numbers[n, place] = [checked.y, checked.y_null, *drops[list(channels)]]
    maps = torch.cat([one.maps for one in found])
    table = torch.from_numpy(numbers).to(maps.device).view(*shape, -1)
    step = len(classes)
    reasons = tuple(
        tuple(one.reasons[i : i + step] for i in range(0, len(one.reasons), step)) for one in found
    )
    layer, path, baseline = engine
    return Deltas(
        values=table[..., 2:],
        y=table[..., 0],
        y_null=table[..., 1],
        activation=maps[:, list(channels)],
        reasons=reasons,
        classes=tuple(classes),
        scores=tuple(scores),
        channels=channels,
        layer=layer,
        path=path,
        baseline=baseline,
    )
