"""A first answer for every channel from one gradient, and the order in which to make it exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.core.scores import Target
from agent.ablation.run.gradients import slopes
from agent.ablation.split.prepared import Prepared
from agent.ablation.split.split import Split
from agent.models.loaded import LoadedModel

SAMPLE = 16
"""At least so many random channels left to the estimate are made exact, to state its error."""


def gradient_times_activation(
    model: LoadedModel,
    split: Split,
    prepared: Prepared,
    baseline: Tensor,
    targets: Sequence[Target],
) -> NDArray[np.float64]:
    """(classes, K) estimate of y - y_k: sum over cells of dy/dA_k (A_k - baseline_k).

    The first-order term of the ablation itself. A score without a gradient has that of another,
    which ``calibrated`` brings to scale.
    """
    terms = first_order(model, split, prepared, baseline, targets)
    return np.stack([term.sum((1, 2)).cpu().numpy() for term in terms])


def hires_maps(
    model: LoadedModel,
    split: Split,
    prepared: Prepared,
    baseline: Tensor,
    targets: Sequence[Target],
) -> NDArray[np.float32]:
    """(classes, gh, gw): the same terms summed over channels instead of cells, signed.

    With the zero baseline this is HiResCAM (arXiv 2011.08891): sum over k of dy/dA_k * A_k.
    """
    terms = first_order(model, split, prepared, baseline, targets)
    return np.stack([term.sum(0).cpu().numpy().astype(np.float32) for term in terms])


def first_order(
    model: LoadedModel,
    split: Split,
    prepared: Prepared,
    baseline: Tensor,
    targets: Sequence[Target],
) -> list[Tensor]:
    """Per target (K, gh, gw) float64: dy/dA (A - baseline); raises what ``slopes`` raises."""
    away = (prepared.activation - baseline).to(torch.float64)[0]
    return [slope * away for slope in slopes(model, split, prepared, targets)]


def without_gradient(
    prepared: Prepared, baseline: Tensor, targets: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What there is where a network has no gradient: (targets, K) of nothing known, 0, and the
    order of the channels by how far they lie from the baseline in the mean."""
    away = (prepared.activation - baseline).abs().to(torch.float64).mean((2, 3))[0]
    order = np.argsort(-away.cpu().numpy(), kind="stable")
    return np.zeros((targets, len(order))), order


def order(estimates: NDArray[np.float64]) -> NDArray[np.int64]:
    """(classes, K) -> (K,): channels by the size of their estimate, the largest first.

    Classes count alike: each is scaled by its own largest estimate.
    """
    size = np.abs(estimates)
    scale = np.maximum(size.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return np.argsort(-(size / scale).max(axis=0), kind="stable")


def calibrated(
    estimate: NDArray[np.float64], exact: NDArray[np.float64], known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """``estimate`` (K,) scaled by least squares to the ``exact`` deltas where they are known."""
    energy = float(estimate[known] @ estimate[known])
    slope = float(estimate[known] @ exact[known]) / energy if energy > 0 else 0.0
    return estimate * slope


def error(
    estimate: NDArray[np.float64],
    exact: NDArray[np.float64],
    sample: NDArray[np.int64],
    scale: float,
) -> float:
    """Mean |estimate - exact| over the sampled channels, relative to ``scale`` = max |delta|."""
    if sample.size == 0 or scale <= 0:
        return 0.0
    return float(np.abs(estimate[sample] - exact[sample]).mean()) / scale
