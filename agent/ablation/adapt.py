"""A module of one's own, made ready for the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from agent.ablation.core.arguments import instance, integer, named, words
from agent.ablation.core.case import EXACT, check_dtype, layer_name, own_input
from agent.ablation.core.errors import AblationError
from agent.ablation.turns import TURNS, plainly
from agent.config import Head, Preprocessing
from agent.models.card import ModelCard
from agent.models.checks import fits_batches, self_test
from agent.models.errors import ModelError
from agent.models.loaded import LoadedModel

IN_MEMORY = "0" * 64
"""Stands for the hash of a file where there is none."""


def explainable(
    module: nn.Module,
    classes: Sequence[str],
    preprocessing: Preprocessing | Tensor,
    *,
    layer: str | nn.Module | None = None,
    head: Head | str = Head.LOGITS,
    output_key: str | int | None = None,
) -> LoadedModel:
    """``module`` as a model that ``Engine`` takes.

    It maps (N, C, h, w) float32, made from a picture by ``preprocessing``, to (N, len(classes),
    h', w') of the kind that ``head`` says; ``output_key`` names one of several outputs. In place of
    a preprocessing stands a tensor (C, h, w) or (N, C, h, w) where inputs are made elsewhere: any
    number of channels, float32 or float64 as the weights are. Only such tensors are then explained.

    The module stays where it is and must be in eval mode. ``AblationError`` where it is not, or
    where its output does not fit what is declared.
    """
    instance(nn.Module, "module", module)
    classes = words("classes", classes)
    head = named(Head, "head", head)
    if output_key is not None and not isinstance(output_key, str):
        output_key = str(integer("output_key", output_key, least=0))
    culprit = next((name for name, part in module.named_modules() if part.training), None)
    if culprit is not None:
        raise AblationError(f"{culprit or 'the model'} is in train mode: call module.eval() first")
    if len(classes) < 2:
        raise AblationError(f"at least two different classes are needed, found {list(classes)}")
    name = type(module).__name__
    device, example = _device(module), None
    if isinstance(preprocessing, Tensor):
        example = _example(preprocessing)
        device = device or example.device
        preprocessing = Preprocessing()
    else:
        instance(Preprocessing, "preprocessing", preprocessing)
    device = device or torch.device("cpu")
    model = LoadedModel(
        module=module,
        name=name,
        sha256=IN_MEMORY,
        classes=tuple(classes),
        head=head,
        preprocessing=preprocessing,
        layer=None,
        output_key=output_key,
        device=device,
        card=ModelCard(name=name),
        example=example,
    )
    layer = layer_name(model, layer)
    model = replace(model, layer=layer, card=ModelCard(name=name, layer=layer))
    if example is not None:
        own_input(model, example[0])
    with TURNS.using(module), plainly(device):
        if not fits_batches(model):
            model = replace(model, batchable=False)
        try:
            self_test(model)
        except ModelError as error:
            check_dtype(model)
            raise AblationError(str(error)) from error
    return model


def _device(module: nn.Module) -> torch.device | None:
    """That of all weights; None without any."""
    found = {t.device for t in (*module.parameters(), *module.buffers())}
    if len(found) > 1:
        raise AblationError(
            f"the weights lie on {' and '.join(sorted(map(str, found)))}: one device is needed"
        )
    return next(iter(found), None)


def _example(given: Tensor) -> Tensor:
    """(N, C, h, w), detached; how far it fits the module is checked with every other input."""
    if given.ndim not in (3, 4) or given.numel() == 0:
        raise AblationError(
            f"an example of the network's input must be (C, h, w) or (N, C, h, w) with at least "
            f"one picture, found {tuple(given.shape)}"
        )
    if given.dtype not in EXACT:
        raise AblationError(
            f"an example of the network's input must be float32 or float64, found {given.dtype}"
        )
    if given.layout is not torch.strided:
        raise AblationError(f"a tensor in must be dense, found {given.layout}")
    return (given if given.ndim == 4 else given.unsqueeze(0)).detach()
