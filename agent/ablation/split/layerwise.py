"""Graphs of which it is plain that they work on each item by itself: layers that are known to.

Most segmentation networks are made of nothing else. To follow a batch through them (``apart``)
would prove the same, but the first tensor that torch hands to Python has it import its distributed
tensors and a computer algebra system: seconds of every start, and memory for good.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

PASSED_ON: frozenset[type[nn.Module]] = frozenset({nn.Identity, nn.Dropout, nn.Dropout2d})
"""In evaluation these give the tensor that they got."""
LAYERS: frozenset[type[nn.Module]] = PASSED_ON | {
    nn.AdaptiveAvgPool2d,
    nn.AvgPool2d,
    nn.BatchNorm2d,
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.ELU,
    nn.GELU,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.LeakyReLU,
    nn.MaxPool2d,
    nn.ReLU,
    nn.ReLU6,
    nn.Sigmoid,
    nn.SiLU,
    nn.Tanh,
    nn.Upsample,
}
"""(N, C, h, w) -> (N, C', h', w'), each of the N by itself, in evaluation."""
FUNCTIONS: frozenset[Callable[..., Any]] = frozenset(
    {
        F.interpolate,
        F.relu,
        operator.add,
        operator.mul,
        torch.add,
        torch.mul,
        torch.relu,
        torch.sigmoid,
    }
)


def is_layerwise(graph: object, batched: Sequence[Any], rest: Sequence[Any]) -> bool:
    """Whether ``graph(*batched, *rest)`` is made of such layers alone, and every input is a
    (1, C, h, w) tensor. False proves nothing."""
    inputs = [*batched, *rest]
    if not isinstance(graph, fx.GraphModule) or not all(
        isinstance(one, Tensor) and one.ndim == 4 and one.shape[0] == 1 for one in inputs
    ):
        return False
    return all(_known(graph, node) for node in graph.graph.nodes)


def _known(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op in ("placeholder", "output"):
        return True
    if node.op == "call_module":
        return len(node.args) == 1 and not node.kwargs and _known_layer(graph, node)
    if node.op != "call_function":
        return False
    if node.target is torch.cat:
        dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        return dim in (1, 2, 3)
    given = all(isinstance(one, fx.Node | int | float) for one in node.args)
    # A tensor as a keyword may be one to write to.
    named = any(isinstance(one, fx.Node) for one in node.kwargs.values())
    return node.target in FUNCTIONS and given and not named and not node.kwargs.get("inplace")


def _known_layer(graph: fx.GraphModule, node: fx.Node) -> bool:
    layer = graph.get_submodule(str(node.target))
    hooked = bool(layer._forward_hooks or layer._forward_pre_hooks)
    # A subclass may do anything.
    if type(layer) not in LAYERS or layer.training or hooked:
        return False
    if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is None:
        return False  # the statistics of the batch
    if isinstance(layer, nn.MaxPool2d) and layer.return_indices:
        return False
    return not getattr(layer, "inplace", False) or _made_anew(graph, node.args[0])


def _made_anew(graph: fx.GraphModule, node: object) -> bool:
    """Not an input of the graph: that may be one tensor for all items, which cannot be written."""
    if not isinstance(node, fx.Node) or node.op == "placeholder":
        return False
    passed_on = node.op == "call_module" and type(graph.get_submodule(str(node.target)))
    return passed_on not in PASSED_ON
