"""Element-wise functions that rows have, as modules, functions and methods of a graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pointwise = Callable[[Tensor], Tensor]

POINTWISE_MODULES = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SiLU,
    nn.GELU,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Sigmoid,
    nn.Tanh,
)
NOTHING_MODULES = (nn.Identity, nn.Dropout, nn.Dropout2d)
POINTWISE_FUNCTIONS: dict[object, Pointwise] = {
    F.relu: torch.relu,
    torch.relu: torch.relu,
    torch.sigmoid: torch.sigmoid,
    F.relu6: F.relu6,
    F.silu: F.silu,
    F.hardswish: F.hardswish,
    F.hardsigmoid: F.hardsigmoid,
}
POINTWISE_METHODS = {"relu": torch.relu, "sigmoid": torch.sigmoid}


def out_of_place(module: nn.Module) -> Pointwise:
    """The module as a function that never writes to its input."""
    if isinstance(module, nn.ReLU):
        return torch.relu
    if getattr(module, "inplace", False):
        return lambda x: module(x.clone())
    return module
