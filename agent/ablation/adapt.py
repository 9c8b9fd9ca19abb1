"""A module of one's own, made ready for the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from agent.ablation.core.errors import AblationError
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
    preprocessing: Preprocessing,
    *,
    layer: str | None = None,
    head: Head = Head.LOGITS,
    output_key: str | None = None,
) -> LoadedModel:
    """``module`` as a model that ``Engine`` takes.

    It maps (N, C, h, w) float32, made from a picture by ``preprocessing``, to (N, len(classes),
    h', w') of the kind that ``head`` says; ``output_key`` names one of several outputs. The module
    stays where it is and must be in eval mode. ``AblationError`` where it is not, or where its
    output does not fit what is declared.
    """
    culprit = next((name for name, part in module.named_modules() if part.training), None)
    if culprit is not None:
        raise AblationError(f"{culprit or 'the model'} is in train mode: call module.eval() first")
    if len(set(classes)) != len(classes) or len(classes) < 2:
        raise AblationError(f"at least two different classes are needed, found {list(classes)}")
    name = type(module).__name__
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    model = LoadedModel(
        module=module,
        name=name,
        sha256=IN_MEMORY,
        classes=tuple(classes),
        head=head,
        preprocessing=preprocessing,
        layer=layer,
        output_key=output_key,
        device=device,
        card=ModelCard(name=name, layer=layer),
    )
    if not fits_batches(model):
        model = replace(model, batchable=False)
    try:
        self_test(model)
    except ModelError as error:
        raise AblationError(str(error)) from error
    return model
