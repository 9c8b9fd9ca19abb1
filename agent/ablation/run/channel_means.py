"""The mean of each channel over a reference set: what the baseline ``mean`` sets a map to."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agent.ablation.core.case import Picture, layer_name, network_input
from agent.ablation.core.errors import AblationError
from agent.ablation.core.regions import Mask
from agent.ablation.split.split import HookSplit, find_layer
from agent.ablation.turns import TURNS, plainly
from agent.models.checks import probe_batch
from agent.models.loaded import LoadedModel


def channel_means(
    model: LoadedModel,
    pictures: Iterable[tuple[NDArray[np.uint8], Mask | None] | Tensor],
    layer: str | nn.Module | None = None,
) -> NDArray[np.float64]:
    """(K,): mean of each channel of ``layer`` over all pictures, every picture counting alike.

    ``pictures`` are (image, aperture) pairs as ``Engine.explain`` takes them, or tensors (C, h, w)
    such as the network takes, several of them as one (N, C, h, w); cells count whether
    inside the aperture or not, as the ablation of a channel replaces them all. ``AblationError``
    for an empty set, a picture that cannot be read, a layer that is none, or values that are not
    finite.
    """
    with TURNS.using(model.module), plainly(model.device):
        example = probe_batch(model)[:1]
        name = find_layer(model, layer_name(model, layer), example)
        hooked = HookSplit(model, name)
        total: Tensor | None = None
        count = 0
        for one in pictures:
            image, aperture = (one, None) if isinstance(one, Tensor) else _pair(one, count)
            try:
                x, _, _ = network_input(model, image, aperture)
            except AblationError as error:
                raise AblationError(f"reference picture {count}: {error}") from error
            maps = hooked.prefix(x).activation[0].to(torch.float64)
            mean = maps.mean((1, 2))
            total, count = (mean if total is None else total + mean), count + 1
    if total is None:
        raise AblationError("the reference set has no picture")
    means = np.asarray((total / count).cpu().numpy(), np.float64)
    if not np.isfinite(means).all():
        raise AblationError(f"{name}: activations of the reference set that are not finite")
    return means


def _pair(one: object, number: int) -> tuple[Picture, Mask | None]:
    """A picture without an aperture may come alone."""
    if isinstance(one, np.ndarray):
        return one, None
    if not isinstance(one, tuple) or len(one) != 2:
        raise AblationError(f"reference picture {number}: expected (image, aperture)")
    return one
