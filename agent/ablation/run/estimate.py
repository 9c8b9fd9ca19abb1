"""A first answer for every channel from one gradient, and the order in which to make it exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.core.scores import Target
from agent.ablation.split.prepared import Prepared
from agent.ablation.split.split import Split
from agent.models.loaded import LoadedModel, as_logits

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
    """Per target (K, gh, gw) float64: dy/dA (A - baseline), one forward and a backward each."""
    with torch.enable_grad():
        activation = prepared.activation.clone().requires_grad_()
        logits = as_logits(model, split.suffix(activation * 1.0, prepared), prepared.size)
        away = (prepared.activation - baseline).to(torch.float64)
        out = []
        for place, target in enumerate(targets):
            y = target.score.smooth(logits, target)
            last = place + 1 == len(targets)
            (slope,) = torch.autograd.grad(y.sum(), activation, retain_graph=not last)
            out.append((slope.to(torch.float64) * away)[0])
    return out


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
