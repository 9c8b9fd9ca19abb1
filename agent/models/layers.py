"""Naming the layers of a network: which there are, and which was meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from agent.models.errors import ModelError


def layer_names(module: nn.Module, example: Tensor) -> list[str]:
    """Names of the submodules that return one 4-D tensor when ``example`` passes, in call order.

    A program (TorchScript, torch.export) has no submodules that can be watched: an empty list.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return []
    found: dict[str, None] = {}

    def watch(name: str, layer: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                found[name] = None

        return layer.register_forward_hook(note)

    handles = [watch(name, layer) for name, layer in module.named_modules() if name]
    try:
        with torch.inference_mode():
            module(example)
    finally:
        for handle in handles:
            handle.remove()
    return list(found)


def check_layer(layer: str, names: Sequence[str], model_name: str) -> None:
    """Raise ``ModelError`` listing all layers there are, the most similar first."""
    if layer in names:
        return
    similar = difflib.get_close_matches(layer, names, n=max(1, len(names)), cutoff=0.0)
    raise ModelError(
        f"{model_name}: no layer {layer!r} that gives activation maps; "
        f"there are: {', '.join(similar) or 'none'}"
    )
