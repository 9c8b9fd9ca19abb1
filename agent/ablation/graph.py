"""The second half of a model as a short list of operations, where it is made of known ones.

Convolution, transposed convolution without overlap, maximum pooling without overlap, BatchNorm,
element-wise functions and concatenation: what convolutional encoder-decoders are built from.
Anything else is a ``CutError``, and the model keeps the general path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from agent.ablation.trace import CutError

Size = tuple[int, int]
Pointwise = Callable[[Tensor], Tensor]

POINTWISE_MODULES = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SiLU,
    nn.GELU,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Sigmoid,
    nn.Tanh,
)
NOTHING_MODULES = (nn.Identity, nn.Dropout, nn.Dropout2d)
POINTWISE_FUNCTIONS = {F.relu: torch.relu, torch.relu: torch.relu, torch.sigmoid: torch.sigmoid}
POINTWISE_METHODS = {"relu": torch.relu, "sigmoid": torch.sigmoid}


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

    @property
    def kernel(self) -> Size:
        return int(self.weight.shape[2]), int(self.weight.shape[3])


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


Operation = Layer | Constant | Conv | Up | Pool | Apply | Affine


def operations(half: fx.GraphModule, output_key: str | None) -> list[Operation]:
    """The operations of ``half`` in order, the last one giving the logits; else ``CutError``."""
    return _Reader(half, output_key).read()


class _Reader:
    def __init__(self, half: fx.GraphModule, output_key: str | None) -> None:
        self._half = half
        self._key = output_key
        self._out: list[Operation] = []
        self._place: dict[fx.Node, int | tuple[int, ...]] = {}

    def read(self) -> list[Operation]:
        constants = -1  # the first placeholder is the layer itself
        for node in self._half.graph.nodes:
            if node.op == "placeholder":
                self._add(node, Layer() if constants < 0 else Constant(constants))
                constants += 1
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
            self._apply(node, _out_of_place(module))
        elif isinstance(module, nn.Conv2d):
            self._conv(node, module)
        elif isinstance(module, nn.ConvTranspose2d):
            self._up(node, module)
        elif isinstance(module, nn.MaxPool2d):
            self._pool(node, module)
        elif isinstance(module, nn.BatchNorm2d):
            self._norm(node, module)
        else:
            raise CutError(f"{node.target} ({type(module).__name__}) has no fast form")

    def _conv(self, node: fx.Node, conv: nn.Conv2d) -> None:
        if (
            conv.groups != 1
            or conv.dilation != (1, 1)
            or conv.padding_mode != "zeros"
            or isinstance(conv.padding, str)
        ):
            raise CutError(f"{node.target}: grouped, dilated or unusually padded")
        self._add(
            node,
            Conv(
                self._several(node.args[0]),
                conv.weight,
                conv.bias,
                _pair(conv.stride),
                _pair(conv.padding),
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

    def _pool(self, node: fx.Node, pool: nn.MaxPool2d) -> None:
        factor = _pair(pool.kernel_size)[0]
        if (
            _pair(pool.kernel_size) != (factor, factor)
            or _pair(pool.stride) != (factor, factor)
            or _pair(pool.padding) != (0, 0)
            or _pair(pool.dilation) != (1, 1)
            or pool.ceil_mode
            or pool.return_indices
        ):
            raise CutError(f"{node.target}: a pooling that overlaps or pads")
        self._add(node, Pool(self._single(node.args[0]), factor))

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
        else:
            name = getattr(node.target, "__name__", str(node.target))
            raise CutError(f"{name} has no fast form")

    def _apply(self, node: fx.Node, act: Pointwise) -> None:
        source = self._single(node.args[0])
        before = self._out[source]
        alone = isinstance(node.args[0], fx.Node) and len(node.args[0].users) == 1
        if isinstance(before, Conv) and before.act is None and alone:
            fused = Conv(
                before.sources, before.weight, before.bias, before.stride, before.padding, act
            )
            self._out[source] = fused
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


def _pair(value: Any) -> Size:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _out_of_place(module: nn.Module) -> Pointwise:
    """The module as a function that never writes to its input."""
    if isinstance(module, nn.ReLU):
        return torch.relu
    if getattr(module, "inplace", False):
        return lambda x: module(x.clone())
    return module
