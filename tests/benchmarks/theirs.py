"""The peers' side, as their documentation has it. Their time grows by one forward pass per channel
or window; the larger cases run some of them and give the slope, so that a run ends."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.models.loaded import as_logits
from tests.benchmarks.cases import LAYER, SUTURE, Bench
from tests.support.peers import peer


def grad_cam(bench: Bench, channels: list[int], batch: int, channels_last: bool) -> NDArray[Any]:
    """pytorch-grad-cam's AblationCAM on some channels: the drop of each of them."""
    package = peer("pytorch_grad_cam")
    layers = peer("pytorch_grad_cam.ablation_layer")
    targets = peer("pytorch_grad_cam.utils.model_targets")

    class Some(layers.AblationLayer):  # type: ignore[misc, name-defined]
        def activations_to_be_ablated(self, _activations: Any, _ratio: float = 1.0) -> NDArray[Any]:
            self.indices = list(channels)
            return np.array(channels)

    memory = torch.channels_last if channels_last else torch.contiguous_format
    module = bench.model.module.to(memory_format=memory)
    x = bench.x.contiguous(memory_format=memory)
    mask = bench.region.astype(np.float32)
    cam = package.AblationCAM(
        model=module,
        target_layers=[module.get_submodule(LAYER)],
        ablation_layer=Some(),
        batch_size=batch,
    )
    score = targets.SemanticSegmentationTarget(SUTURE, mask)
    found: list[Any] = []
    original = cam.get_cam_weights
    cam.get_cam_weights = lambda *args: found.append(original(*args)) or found[0]
    try:
        with cam:
            cam(input_tensor=x, targets=[score])
    finally:
        module.to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        y = float(score(module(bench.x)[0]))
    return np.asarray(found[0][0, channels], np.float64) * y


def feature_ablation(bench: Bench, channels: list[int], batch: int) -> NDArray[np.float64]:
    """captum's LayerFeatureAblation on some channels: the drop of each of them."""
    captum = peer("captum.attr")
    mask = torch.full((1, bench.depth, 1, 1), len(channels), dtype=torch.long)
    for number, k in enumerate(channels):
        mask[0, k] = number
    layer = bench.model.module.get_submodule(LAYER)
    found = captum.LayerFeatureAblation(_sums(bench), layer).attribute(
        bench.x, layer_mask=mask, perturbations_per_eval=batch
    )
    return np.asarray(found[0, channels].flatten(1)[:, 0].double())


def occlusion(bench: Bench, side: int, stride: int, batch: int) -> NDArray[np.float32]:
    """captum's Occlusion of the input by zero: the mean drop per pixel, (h, w)."""
    captum = peer("captum.attr")
    found = captum.Occlusion(_sums(bench)).attribute(
        bench.x,
        sliding_window_shapes=(bench.x.shape[1], side, side),
        strides=(bench.x.shape[1], stride, stride),
        perturbations_per_eval=batch,
    )
    return np.asarray(found[0, 0].float())


def _sums(bench: Bench) -> Any:
    mask = torch.from_numpy(bench.region)

    def score(x: Tensor) -> Tensor:
        with torch.no_grad():
            logits = as_logits(bench.model, bench.model.module(x))
        return logits[:, SUTURE][:, mask].double().sum(1)

    return _Forward(score, bench.model.module)


class _Forward(torch.nn.Module):
    """captum finds the layer to hook in the module it is given."""

    def __init__(self, score: Any, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self._score = score

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._score(x)
        return out
