"""What is explained: random U-Nets, a thin region, and what both sides must agree on first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.core.case import Case, load_case, target
from agent.ablation.core.focus import given
from agent.ablation.core.scores import Target, score_named
from agent.config import Score
from agent.models.loaded import LoadedModel, as_logits
from tests.ablation.networks import UNET_LAYER, picture, unet

LAYER = UNET_LAYER
SUTURE = 1


@dataclass(frozen=True)
class Bench:
    """One model, one picture ``x`` (1, 3, s, s), and a bar of 6 % of the picture as M."""

    features: int
    size: int
    model: LoadedModel
    x: Tensor
    region: NDArray[np.bool_]

    @property
    def name(self) -> str:
        return f"{self.features} features, {self.size} px"

    @property
    def depth(self) -> int:
        return 8 * self.features

    def case(self) -> Case:
        return load_case(self.model, picture(self.size), None, given(self.region))

    def target(self, case: Case, kind: Score = Score.LOGIT_SUM) -> Target:
        return target(self.model, case, "suture", score_named(kind))


def bench(features: int, size: int, seed: int = 0) -> Bench:
    """``seed``: of the network's random weights."""
    model = unet(size, features, seed)
    region = np.zeros((size, size), np.bool_)
    top = size // 2 - size // 32
    region[top : top + size // 16] = True
    made = Bench(features, size, model, torch.empty(0), region)
    with torch.no_grad():
        return Bench(features, size, model, made.case().x, region)


def plain_drops(found: Bench, channels: list[int], dtype: torch.dtype) -> NDArray[np.float64]:
    """y - y_k of the sum of the class's logits over M by one plain re-run per channel with a hook,
    the sums in float64 whatever ``dtype`` the network runs in."""
    module = found.model.module.to(dtype)
    layer, x = module.get_submodule(LAYER), found.x.to(dtype)
    mask = torch.from_numpy(found.region)
    sums = []
    with torch.no_grad():
        for k in (None, *channels):

            def ablated(
                _module: object, _inputs: object, output: Tensor, k: int | None = k
            ) -> Tensor:
                out = output.clone()
                if k is not None:
                    out[:, k] = 0
                return out

            handle = layer.register_forward_hook(ablated)
            try:
                logits = as_logits(found.model, module(x))
            finally:
                handle.remove()
            sums.append(logits[0, SUTURE].double()[mask])
    found.model.module.float()
    return np.array([float((sums[0] - one).sum()) for one in sums[1:]])
