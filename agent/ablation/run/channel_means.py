"""The mean of each channel over a reference set: what the baseline ``mean`` sets a map to."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.core.errors import AblationError
from agent.ablation.core.regions import Mask
from agent.ablation.split.split import HookSplit, find_layer
from agent.models import pictures as reading
from agent.models.checks import probe_batch
from agent.models.loaded import LoadedModel, preprocess


def channel_means(
    model: LoadedModel,
    pictures: Iterable[tuple[NDArray[np.uint8], Mask | None]],
    layer: str | None = None,
) -> NDArray[np.float64]:
    """(K,): mean of each channel of ``layer`` over all pictures, every picture counting alike.

    ``pictures`` are (image, aperture) pairs as ``Engine.explain`` takes them; cells count whether
    inside the aperture or not, as the ablation of a channel replaces them all. ``AblationError``
    for an empty set, a picture that cannot be read, a layer that is none, or values that are not
    finite.
    """
    with torch.no_grad():
        name = find_layer(model, layer, probe_batch(model)[:1])
        hooked = HookSplit(model, name)
        total: Tensor | None = None
        count = 0
        for image, aperture in pictures:
            try:
                x = preprocess(model, image, aperture).unsqueeze(0)
            except reading.PictureError as error:
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
