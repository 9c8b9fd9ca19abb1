"""A model ready for use, and its output as logits whatever its head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from agent.config import Head, Preprocessing
from agent.models import pictures
from agent.models.card import ModelCard
from agent.models.errors import ModelError

PROBABILITY_FLOOR = 1e-7
"""Probabilities are clamped to this before a log: float32 has no more digits next to 1."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A module in eval mode without gradients, and all that is declared about it.

    ``head`` says what the module's own output is. The built-in U-Net has no sigmoid or softmax of
    its own, so it is always LOGITS here, also where its card says otherwise. ``batchable`` is false
    for a program whose batch size is fixed at one. ``example`` (N, C, h, w) is an input such as it
    takes, where that is made by others: ``preprocessing`` then says nothing, and no picture can be
    shown to it.
    """

    module: nn.Module
    name: str
    sha256: str
    classes: tuple[str, ...]
    head: Head
    preprocessing: Preprocessing
    layer: str | None
    output_key: str | None
    device: torch.device
    card: ModelCard
    batchable: bool = True
    path: str = ""
    example: Tensor | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "head", Head(self.head))  # a word would equal no member's identity

    @property
    def label(self) -> str:
        """What an error message calls this model: its file, or its name."""
        return self.path or self.name


def preprocess(
    model: LoadedModel,
    image_bgr: NDArray[np.uint8],
    aperture: NDArray[np.bool_] | None = None,
) -> Tensor:
    """(C, h, w) float32 on the model's device; ``pictures.PictureError`` for no usable picture."""
    if model.example is not None:
        raise pictures.PictureError(
            f"{model.label} takes tensors of {tuple(model.example.shape[1:])} that others make: "
            "how a picture becomes one is not declared"
        )
    picture, inside = pictures.standard(image_bgr, aperture)
    fitted = pictures.fit(picture, inside, model.preprocessing)
    return pictures.to_tensor([fitted], model.preprocessing, model.device)[0]


def logits(model: LoadedModel, batch: Tensor) -> Tensor:
    """(N, 3, h, w) input -> (N, len(classes), h, w) logits, in inference mode.

    ``ModelError`` when the module's output does not fit what is declared.
    """
    with torch.inference_mode():
        if model.batchable or len(batch) == 1:
            return as_logits(model, model.module(batch), (batch.shape[2], batch.shape[3]))
        return torch.cat([logits(model, batch[i : i + 1]) for i in range(len(batch))])


def as_logits(model: LoadedModel, output: object, size: tuple[int, int] | None = None) -> Tensor:
    """What the module returned, as (N, len(classes), h, w) logits.

    - ``logits``: taken as they are.
    - ``sigmoid``: log(p / (1 - p)) per channel.
    - ``softmax``: log(p), which equals the logits up to a constant per pixel that neither a margin
      nor a probability depends on.

    One channel for two classes, or sigmoid channels for all classes but the first, give the first
    class (background) the logit 0: exactly what a sigmoid over one channel means. An output on
    another grid than ``size`` (h, w) is brought to it by bilinear interpolation of the logits.
    Differentiable.
    """
    tensor = _selected(model, output)
    if model.head is Head.SIGMOID:
        tensor = torch.logit(tensor, eps=PROBABILITY_FLOOR)
    elif model.head is Head.SOFTMAX:
        tensor = torch.log(tensor.clamp_min(PROBABILITY_FLOOR))
    channels, wanted = tensor.shape[1], len(model.classes)
    zero_first = model.head is Head.SIGMOID or (model.head is Head.LOGITS and channels == 1)
    if channels == wanted - 1 and zero_first:
        tensor = torch.cat((torch.zeros_like(tensor[:, :1]), tensor), dim=1)
    elif channels != wanted:
        raise ModelError(
            f"{model.label}: the network has {channels} output channels, but "
            f"{wanted} classes are declared: {', '.join(model.classes)}"
        )
    if size is not None and tensor.shape[2:] != size:
        tensor = F.interpolate(tensor, size=size, mode="bilinear", align_corners=False)
    return tensor


def _selected(model: LoadedModel, output: object) -> Tensor:
    key = model.output_key
    if isinstance(output, Mapping):
        keys = ", ".join(str(name) for name in output)
        if key is None:
            raise ModelError(
                f"{model.label}: the network returns a dictionary: name one of its keys in "
                f"model.output_key: {keys}"
            )
        if key not in output:
            raise ModelError(f"{model.label}: no output {key!r}; the network returns: {keys}")
        output = output[key]
    elif isinstance(output, Sequence) and not isinstance(output, str):
        if key is None or not key.isdigit() or int(key) >= len(output):
            raise ModelError(
                f"{model.label}: the network returns {len(output)} outputs: name one by its number "
                "in model.output_key, from 0"
            )
        output = output[int(key)]
    if not isinstance(output, Tensor) or output.ndim != 4:
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ModelError(f"{model.label}: expected an output of shape (N, C, h, w), found {found}")
    if not output.is_floating_point():
        kind = str(output.dtype).removeprefix("torch.")
        raise ModelError(
            f"{model.label}: its output is {kind}: expected scores of every class in floating "
            "point (class numbers, as argmax gives them, cannot be explained)"
        )
    return output
