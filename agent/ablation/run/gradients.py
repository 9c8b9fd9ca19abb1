"""The slope of a score at the layer, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agent.ablation.core.errors import AblationError, is_no_memory
from agent.ablation.core.scores import Target
from agent.ablation.split.prepared import Prepared
from agent.ablation.split.split import Split
from agent.models.errors import first_line
from agent.models.loaded import LoadedModel, as_logits


class NoGradientError(AblationError):
    """A network that has no usable gradient at the layer. Ablations do without."""


def slopes(
    model: LoadedModel, split: Split, prepared: Prepared, targets: Sequence[Target]
) -> list[Tensor]:
    """Per target dy/dA, (K, gh, gw) float64, by one forward pass from the layer on and a backward
    pass each.

    ``NoGradientError`` where ``forward`` turns gradients off or detaches what it computed, holds an
    operation that has none, or gives one that is not finite; and for a layer of float16, whose
    smallest number is larger than the slope of a mean over a picture. Neither the weights' own
    gradients nor the mode of the caller (``no_grad``, ``inference_mode``) is touched or matters.
    """
    if prepared.activation.dtype == torch.float16:
        raise NoGradientError("the layer is float16: slopes of a mean over many pixels underflow")
    with torch.inference_mode(False), torch.enable_grad():
        activation = prepared.activation.clone().requires_grad_()
        try:
            logits = as_logits(model, split.suffix(activation * 1.0, prepared), prepared.size)
            return [
                _slope(target.score.smooth(logits, target), activation, place + 1 < len(targets))
                for place, target in enumerate(targets)
            ]
        except (RuntimeError, NotImplementedError) as error:
            if is_no_memory(error):
                raise
            reason = first_line(error)
            raise NoGradientError(f"the network cannot be differentiated: {reason}") from error


def _slope(y: Tensor, activation: Tensor, again: bool) -> Tensor:
    if not y.requires_grad:
        raise NoGradientError(
            "no gradient of the score reaches the layer: forward turns gradients off, or detaches "
            "or rounds to integers what comes after it"
        )
    (found,) = torch.autograd.grad(y.sum(), activation, retain_graph=again)
    if not bool(torch.isfinite(found).all()):
        raise NoGradientError("the gradient of the score at the layer is not finite")
    return found.to(torch.float64)[0]
