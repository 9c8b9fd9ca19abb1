"""What an ablated channel is set to: zero, or its mean over a reference set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, as_tensor

from agent.ablation.core.errors import AblationError
from agent.models.loaded import LoadedModel


class Baselines:
    """Of one layer, each (1, K, 1, 1) like ``zero``. The means are those given, else those that the
    model's card has for the ``layer``."""

    def __init__(
        self, model: LoadedModel, layer: str, zero: Tensor, means: NDArray[np.float64] | None
    ) -> None:
        self._layer = layer
        self._known = {"zero": zero}
        if means is None:
            declared = (model.card.channel_means or {}).get(layer)
            means = None if declared is None else np.asarray(declared)
        if means is None:
            return
        if means.shape != (zero.shape[1],):
            raise AblationError(
                f"baseline mean needs one mean per channel: {layer} has {zero.shape[1]}, "
                f"the reference {means.size}"
            )
        if not np.isfinite(means).all():
            raise AblationError("baseline mean: the reference means are not finite")
        self._known["mean"] = zero + as_tensor(means).to(zero).view(1, -1, 1, 1)

    def __len__(self) -> int:
        return len(self._known)

    def of(self, name: str) -> Tensor:
        """``AblationError`` for ``mean`` where no means are known."""
        if name not in self._known:
            raise AblationError(
                f"baseline {name} needs one mean per channel of {self._layer} from a reference "
                "set: the model's card has none, and none were given"
            )
        return self._known[name]
