"""The second half of a model as a short list of operations, where it is made of known ones.

Convolution, transposed convolution without overlap, pooling, interpolation, BatchNorm, element-wise
functions, addition, multiplication and concatenation: what convolutional encoder-decoders are built
from. Anything else is a ``CutError``, and the model keeps the general path.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from agent.ablation.rows import local_graph
from agent.ablation.rows.elementwise import (
    NOTHING_MODULES,
    POINTWISE_FUNCTIONS,
    POINTWISE_METHODS,
    POINTWISE_MODULES,
    Pointwise,
    out_of_place,
)
from agent.ablation.rows.local import Join, Local
from agent.ablation.rows.local_graph import JOINS, POOLS, Found, only_convolved, pair
from agent.ablation.split.prepared import Prepared
from agent.ablation.split.trace import CutError

Size = tuple[int, int]
Walk = tuple[Size, Size, Size]
"""How a convolution walks over its maps: stride, padding, dilation."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The ablated activation: the only input that differs between items."""


@dataclass(frozen=True, slots=True)
class Constant:
    """What the first half left behind; ``index`` into the constants of the picture."""

    index: int


@dataclass(frozen=True, slots=True)
class Conv:
    """``weight`` (O, I, kh, kw) over the concatenation of ``sources``, then ``act`` if any."""

    sources: tuple[int, ...]
    weight: Tensor
    bias: Tensor | None
    stride: Size
    padding: Size
    act: Pointwise | None = None
    dilation: Size = (1, 1)

    @property
    def kernel(self) -> Size:
        return int(self.weight.shape[2]), int(self.weight.shape[3])

    @property
    def walk(self) -> Walk:
        return self.stride, self.padding, self.dilation


@dataclass(frozen=True, slots=True)
class Up:
    """Transposed convolution whose stride is its kernel: ``weight`` (I, O, k, k), no overlap."""

    source: int
    weight: Tensor
    bias: Tensor | None
    factor: int


@dataclass(frozen=True, slots=True)
class Pool:
    """Maximum over blocks of ``factor`` by ``factor``."""

    source: int
    factor: int


@dataclass(frozen=True, slots=True)
class Apply:
    """An element-wise function."""

    source: int
    act: Pointwise


@dataclass(frozen=True, slots=True)
class Affine:
    """``scale`` (C,) times the input plus ``shift`` (C,): a BatchNorm that no convolution took."""

    source: int
    scale: Tensor
    shift: Tensor


Operation = Layer | Constant | Conv | Up | Pool | Apply | Affine | Local | Join


def operations(half: fx.GraphModule, output_key: str | None, prepared: Prepared) -> list[Operation]:
    """The operations of ``half`` in order, the last one giving the logits; else ``CutError``.
    ``prepared``, of any picture, tells the sizes of the maps."""
    return _Reader(half, output_key, Found(half, prepared)).read()


class _Reader:
    def __init__(self, half: fx.GraphModule, output_key: str | None, found: Found) -> None:
        self._half = half
        self._found = found
        self._key = output_key
        self._out: list[Operation] = []
        self._place: dict[fx.Node, int | tuple[int, ...]] = {}

    def read(self) -> list[Operation]:
        constants = -1  # the first placeholder is the layer itself
        for node in self._half.graph.nodes:
            if node.op == "placeholder":
                if node not in self._found.numbers:
                    self._add(node, Layer() if constants < 0 else Constant(constants))
                constants += 1
            elif node.op != "output" and node in self._found.numbers:
                continue
            elif node.op == "call_module":
                self._module(node, self._half.get_submodule(str(node.target)))
            elif node.op == "call_function":
                self._function(node)
            elif node.op == "call_method" and node.target in POINTWISE_METHODS:
                self._apply(node, POINTWISE_METHODS[str(node.target)])
            elif node.op == "output":
                self._finish(node.args[0])
            else:
                raise CutError(f"{node.op} {node.target} has no fast form")
        return self._out

    def _add(self, node: fx.Node, operation: Operation) -> None:
        self._out.append(operation)
        self._place[node] = len(self._out) - 1

    def _single(self, node: Any) -> int:
        place = self._place.get(node)
        if not isinstance(place, int):
            raise CutError(f"{node} is a concatenation, or no tensor of the graph")
        return place

    def _several(self, node: Any) -> tuple[int, ...]:
        place = self._place.get(node)
        if place is None:
            raise CutError(f"{node} is no tensor of the graph")
        return (place,) if isinstance(place, int) else place

    def _module(self, node: fx.Node, module: nn.Module) -> None:
        if len(node.args) != 1 or node.kwargs:
            raise CutError(f"{node.target} takes more than one input")
        source = node.args[0]
        if isinstance(module, NOTHING_MODULES):
            self._place[node] = self._place[source]  # type: ignore[index]
        elif isinstance(module, POINTWISE_MODULES):
            self._apply(node, out_of_place(module))
        elif isinstance(module, nn.Conv2d):
            self._conv(node, module)
        elif isinstance(module, nn.ConvTranspose2d):
            self._up(node, module)
        elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            self._pool(node, module)
        elif isinstance(module, nn.BatchNorm2d):
            self._norm(node, module)
        else:
            raise CutError(f"{node.target} ({type(module).__name__}) has no fast form")

    def _conv(self, node: fx.Node, conv: nn.Conv2d) -> None:
        if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
            raise CutError(f"{node.target}: unusually padded")
        if conv.groups == conv.in_channels == conv.out_channels > 1:
            source = self._single(node.args[0])
            self._add(node, local_graph.depthwise(node, conv, source, self._found))
            return
        self._add(
            node,
            Conv(
                self._several(node.args[0]),
                local_graph.ungrouped(conv),
                conv.bias,
                pair(conv.stride),
                pair(conv.padding),
                dilation=pair(conv.dilation),
            ),
        )

    def _up(self, node: fx.Node, up: nn.ConvTranspose2d) -> None:
        factor = up.kernel_size[0]
        plain = up.groups == 1 and up.dilation == (1, 1)
        if not (
            plain
            and up.kernel_size == (factor, factor) == up.stride
            and up.padding == (0, 0) == up.output_padding
        ):
            raise CutError(f"{node.target}: a transposed convolution that overlaps")
        self._add(node, Up(self._single(node.args[0]), up.weight, up.bias, factor))

    def _pool(self, node: fx.Node, pool: nn.Module) -> None:
        source = self._single(node.args[0])
        if isinstance(pool, nn.MaxPool2d):
            factor = pair(pool.kernel_size)[0]
            blocks = pair(pool.kernel_size) == pair(pool.stride) == (factor, factor)
            plain = pair(pool.padding) == (0, 0) and pair(pool.dilation) == (1, 1)
            if blocks and plain and not pool.ceil_mode and not pool.return_indices:
                self._add(node, Pool(source, factor))
                return
        self._add(node, local_graph.pooling(node, pool, source, self._found))

    def _norm(self, node: fx.Node, norm: nn.BatchNorm2d) -> None:
        mean, variance = norm.running_mean, norm.running_var
        if mean is None or variance is None:
            raise CutError(f"{node.target}: a norm of the batch's own statistics")
        scale = torch.rsqrt(variance + norm.eps)
        if norm.weight is not None:
            scale = scale * norm.weight
        shift = -mean * scale if norm.bias is None else norm.bias - mean * scale
        self._add(node, Affine(self._single(node.args[0]), scale, shift))

    def _function(self, node: fx.Node) -> None:
        if node.target is torch.cat:
            dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
            if dim != 1:
                raise CutError("a concatenation that is not of channels")
            parts: list[int] = []
            for part in node.args[0]:  # type: ignore[union-attr]
                parts += self._several(part)
            self._place[node] = tuple(parts)
        elif node.target in POINTWISE_FUNCTIONS:
            self._apply(node, POINTWISE_FUNCTIONS[node.target])
        elif node.target is F.interpolate:
            self._interpolate(node)
        elif node.target in POOLS:
            self._pool(node, POOLS[node.target](*node.args[1:], **node.kwargs))
        elif node.target in JOINS and len(node.args) == 2 and not node.kwargs:
            self._join(node, JOINS[node.target])
        else:
            name = getattr(node.target, "__name__", str(node.target))
            raise CutError(f"{name} has no fast form")

    def _interpolate(self, node: fx.Node) -> None:
        source = self._single(node.args[0])
        factor = local_graph.nearest_factor(node, self._found)
        if factor is not None and only_convolved(self._half, node):
            like = self._found.like
            one = torch.eye(self._found.channels[node], dtype=like.dtype, device=like.device)
            weight = one[:, :, None, None].expand(-1, -1, factor, factor).contiguous()
            self._add(node, Up(source, weight, None, factor))
        else:
            self._add(node, local_graph.interpolation(node, source, self._found))

    def _join(self, node: fx.Node, function: Callable[..., Any]) -> None:
        first, second = node.args
        tensors = [isinstance(a, fx.Node) and a not in self._found.numbers for a in node.args]
        if not all(tensors):
            number = self._found.value(node.args[tensors.index(False)])
            if tensors[0]:
                self._apply(node, lambda x: function(x, number), first)
            else:
                self._apply(node, lambda x: function(number, x), second)
        elif function is operator.truediv:
            raise CutError("a map divided by a map has no fast form")
        else:
            self._add(node, Join((self._single(first), self._single(second)), function))

    def _apply(self, node: fx.Node, act: Pointwise, argument: Any = None) -> None:
        argument = node.args[0] if argument is None else argument
        source = self._single(argument)
        before = self._out[source]
        alone = isinstance(argument, fx.Node) and len(argument.users) == 1
        if isinstance(before, Conv) and before.act is None and alone:
            self._out[source] = replace(before, act=act)
            self._place[node] = source
        else:
            self._add(node, Apply(source, act))

    def _finish(self, result: Any) -> None:
        if isinstance(result, Mapping):
            if self._key not in result:
                raise CutError("the network returns a dictionary without the declared key")
            result = result[self._key]
        if self._single(result) != len(self._out) - 1:
            raise CutError("the network's output is not its last operation")
