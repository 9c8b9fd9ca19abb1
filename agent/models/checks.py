"""What every model is asked before it is trusted with a picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from agent.models.errors import ModelError, first_line
from agent.models.loaded import LoadedModel, logits
from agent.models.pictures import to_tensor

REPEAT_TOLERANCE = 1e-5
"""Between two runs of the same input, relative to the largest logit: leaves room for a GPU's
unordered sums, not for dropout."""
BATCH_TOLERANCE = 1e-2
"""Between a picture alone and beside another: other kernels may run (TF32 has about 3 digits), but
statistics taken over the batch differ far more."""


def to_eval(module: nn.Module, name: str) -> nn.Module:
    """Eval mode and no gradients, checked part by part; ``ModelError`` where it does not hold."""
    try:
        module.eval()
    except NotImplementedError:
        pass  # torch.export programs have no modes: theirs was checked in the graph
    else:
        stuck = [layer for layer, part in module.named_modules() if part.training]
        if stuck:
            raise ModelError(f"{name}: {stuck[0] or 'the module'} stays in training mode")
    for layer, part in module.named_modules():
        if isinstance(part, _BatchNorm) and part.running_mean is None:
            raise ModelError(f"{name}: {layer}: BatchNorm without running statistics")
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def probe_batch(model: LoadedModel) -> Tensor:
    """Two different inputs of the declared size, the same at every call: (2, C, h, w)."""
    if model.example is not None:
        return _like(model.example)
    settings = model.preprocessing
    size = (settings.height_px, settings.width_px, 3)
    noise = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    return to_tensor([noise, noise // 4 + 128], settings, model.device)


def _like(example: Tensor) -> Tensor:
    """(2, C, h, w) of noise with the mean and spread that each channel of ``example`` has."""
    deviation, mean = torch.std_mean(example, (0, 2, 3), correction=0, keepdim=True)
    deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    noise = torch.randn(
        (2, *example.shape[1:]), generator=torch.Generator().manual_seed(0), dtype=example.dtype
    ).to(example.device)
    return mean + deviation * noise


def _precision(model: LoadedModel) -> str:
    """What a network that is not in float32 is told, for its inputs are."""
    kinds = {str(one.dtype).removeprefix("torch.") for one in model.module.parameters()}
    others = ", ".join(sorted(kinds - {"float32"}))
    return f" (its weights are {others}, its input is float32)" if others else ""


def fits_batches(model: LoadedModel) -> bool:
    """Whether the network takes two pictures at once (programs may be made for exactly one)."""
    batch = probe_batch(model)
    try:
        with torch.inference_mode():
            model.module(batch)
    except Exception:  # noqa: BLE001 - a foreign forward may raise anything; the self-test names it
        return False
    return True


def self_test(model: LoadedModel) -> None:
    """Run the model and raise ``ModelError`` unless it can be relied on.

    Its output must have the declared channels and be finite, the same at a second run, and the
    same for a picture whatever lies beside it in the batch (a BatchNorm that uses the statistics
    of the batch fails here also inside a program that cannot be looked into).
    """
    batch = probe_batch(model)
    alone = replace(model, batchable=False)
    try:
        first, second, single = logits(model, batch), logits(model, batch), logits(alone, batch)
    except ModelError:
        raise
    except Exception as error:  # a foreign forward may raise anything
        line = first_line(error) or type(error).__name__
        size = tuple(batch.shape[1:])
        raise ModelError(
            f"{model.label}: fails on an input of shape {size}: {line}{_precision(model)}"
        ) from error
    if not bool(torch.isfinite(first).all()):
        raise ModelError(f"{model.label}: gives NaN or infinite logits")
    scale = max(1.0, float(first.abs().max()))
    repeat = float((first - second).abs().max()) / scale
    beside = float((first - single).abs().max()) / scale
    if not repeat <= REPEAT_TOLERANCE:
        raise ModelError(
            f"{model.label}: two runs of one input differ by {repeat:.2g} of the largest logit: "
            "something random is active (dropout?)"
        )
    if not beside <= BATCH_TOLERANCE:
        raise ModelError(
            f"{model.label}: a picture's logits change by {beside:.2g} with the picture beside it: "
            "BatchNorm works in training mode"
        )
