"""The second half of a model as a short list of operations, where it is made of known ones.

``KNOWN`` says what is known: what convolutional encoder-decoders are built from. Anything else is a
``CutError``, and the model keeps the general path. A new operation is a class
(see ``operation``) and a line here.
"""

from __future__ import annotations

import operator
from abc import ABCMeta
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from agent.ablation.rows.conv import Conv
from agent.ablation.rows.elementwise import (
    NOTHING_MODULES,
    POINTWISE_FUNCTIONS,
    POINTWISE_METHODS,
    POINTWISE_MODULES,
)
from agent.ablation.rows.graph import Lowering, Reading
from agent.ablation.rows.norms import GroupNorm, LayerNorm
from agent.ablation.rows.operation import LAYER, Input, Operation
from agent.ablation.rows.pointwise import batch_norm, joined, pointwise, pointwise_module
from agent.ablation.rows.up import Up, interpolated
from agent.ablation.rows.windows import pooling
from agent.ablation.split.prepared import Prepared
from agent.ablation.split.trace import CutError


def _nothing(reading: Reading, node: fx.Node, _part: nn.Module | None) -> None:
    reading.same(node, node.args[0])


def _concatenated(reading: Reading, node: fx.Node, _part: nn.Module | None) -> None:
    given = reading.arguments(node, ("dim",))
    if given.get("dim", 0) != 1:
        raise CutError("a concatenation that is not of channels")
    reading.same(node, *node.args[0])  # type: ignore[misc]


def _permuted(reading: Reading, node: fx.Node, _part: nn.Module | None) -> None:
    dims = [*node.args[1:], *node.kwargs.values()]
    reading.permute(node, tuple(dims[0] if len(dims) == 1 else dims))  # type: ignore[arg-type]


def complete(known: Mapping[object, Lowering]) -> Mapping[object, Lowering]:
    """The table itself; ``TypeError`` where the class of an operation in it lacks something."""
    for lowering in known.values():
        owner = getattr(lowering, "__self__", None)
        if isinstance(owner, ABCMeta) and owner.__abstractmethods__:
            raise TypeError(f"{owner.__name__} lacks {', '.join(owner.__abstractmethods__)}")
    return known


KNOWN = complete(
    {
        **dict.fromkeys(NOTHING_MODULES, _nothing),
        **dict.fromkeys(POINTWISE_MODULES, pointwise_module),
        **{function: pointwise(act) for function, act in POINTWISE_FUNCTIONS.items()},
        **{method: pointwise(act) for method, act in POINTWISE_METHODS.items()},
        **dict.fromkeys((operator.add, torch.add), joined(operator.add)),
        **dict.fromkeys((operator.mul, torch.mul), joined(operator.mul)),
        operator.sub: joined(operator.sub),
        operator.truediv: joined(operator.truediv),
        torch.cat: _concatenated,
        **dict.fromkeys((torch.permute, "permute"), _permuted),
        "contiguous": _nothing,
        nn.Conv2d: Conv.lower,
        nn.ConvTranspose2d: Up.lower,
        F.interpolate: interpolated,
        **dict.fromkeys((nn.MaxPool2d, F.max_pool2d), pooling),
        **dict.fromkeys((nn.AvgPool2d, F.avg_pool2d), pooling),
        **dict.fromkeys((nn.AdaptiveAvgPool2d, F.adaptive_avg_pool2d), pooling),
        nn.BatchNorm2d: batch_norm,
        **dict.fromkeys((nn.GroupNorm, F.group_norm), GroupNorm.lower),
        **dict.fromkeys((nn.LayerNorm, F.layer_norm), LayerNorm.lower),
    }
)
"""Modules by their class, functions, and methods by their name."""


def operations(half: fx.GraphModule, output_key: str | None, prepared: Prepared) -> list[Operation]:
    """The operations of ``half`` in order, the last one giving the logits; else ``CutError``.
    ``prepared``, of any picture, tells the sizes of the maps."""
    reading = Reading(half, prepared)
    inputs = enumerate((prepared.activation, *prepared.constants), LAYER)
    for node in half.graph.nodes:
        if node.op == "placeholder":
            _input(reading, node, inputs)
        elif node.op == "output":
            _finish(reading, node.args[0], output_key)
        elif node not in reading.found.numbers and node not in reading.found.weights:
            _lower(reading, node)
    return reading.operations


def _input(reading: Reading, node: fx.Node, inputs: Iterator[tuple[int, object]]) -> None:
    index, value = next(inputs)
    if node in reading.found.numbers:
        return
    if not isinstance(value, Tensor) or value.ndim != 4:
        raise CutError("a constant that is no map")
    reading.add(node, Input((), int(value.shape[1]), index))


def _lower(reading: Reading, node: fx.Node) -> None:
    part, name = None, getattr(node.target, "__name__", str(node.target))
    kinds: tuple[object, ...] = (node.target,)
    if node.op == "call_module":
        part = reading.half.get_submodule(str(node.target))
        name, kinds = f"{node.target} ({type(part).__name__})", type(part).__mro__
        if len(node.args) != 1 or node.kwargs:
            raise CutError(f"{node.target} takes more than one input")
    lowering = next((KNOWN[kind] for kind in kinds if kind in KNOWN), None)
    if lowering is None:
        raise CutError(f"{name} has no fast form")
    lowering(reading, node, part)


def _finish(reading: Reading, result: Any, output_key: str | None) -> None:
    if isinstance(result, Mapping):
        if output_key not in result:
            raise CutError("the network returns a dictionary without the declared key")
        result = result[output_key]
    if reading.single(result) != len(reading.operations) - 1:
        raise CutError("the network's output is not its last operation")
