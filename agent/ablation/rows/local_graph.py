"""Local operations and joins read off the nodes of a graph; ``CutError`` for what is neither."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from agent.ablation.rows.elementwise import NOTHING_MODULES
from agent.ablation.rows.local import Local, Maps, Pair, clamped, resampled, window
from agent.ablation.split.prepared import Prepared
from agent.ablation.split.trace import NOT_TRACEABLE, CutError

MODES = ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
POOLS: Mapping[Any, type[nn.Module]] = {
    F.avg_pool2d: nn.AvgPool2d,
    F.max_pool2d: nn.MaxPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
}
JOINS: Mapping[Any, Callable[..., Any]] = {
    operator.add: operator.add,
    torch.add: operator.add,
    operator.mul: operator.mul,
    torch.mul: operator.mul,
    operator.sub: operator.sub,
    operator.truediv: operator.truediv,
}


class Found(fx.Interpreter):
    """One run of a graph: ``sizes`` (h, w) and ``channels`` of its maps, and its ``numbers``, which
    are what is no tensor. ``like`` has the dtype and device of the maps."""

    def __init__(self, half: fx.GraphModule, prepared: Prepared) -> None:
        super().__init__(half)
        self.sizes: dict[fx.Node, Pair] = {}
        self.channels: dict[fx.Node, int] = {}
        self.numbers: dict[fx.Node, Any] = {}
        self.like = prepared.activation
        try:
            self.run(prepared.activation.clone(), *prepared.constants)
        except NOT_TRACEABLE as error:
            raise CutError(f"the graph does not run: {error}") from error

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if not isinstance(result, Tensor):
            self.numbers[n] = result
        elif result.ndim == 4:
            self.sizes[n] = (int(result.shape[2]), int(result.shape[3]))
            self.channels[n] = int(result.shape[1])
        return result

    def value(self, argument: Any) -> Any:
        """An argument with its numbers in the place of nodes."""

        def known(node: fx.Node) -> Any:
            if node not in self.numbers:
                raise CutError(f"{node} is no number")
            return self.numbers[node]

        return fx.map_arg(argument, known)

    def size(self, node: Any) -> Pair:
        if node not in self.sizes:
            raise CutError(f"{node} is no map")
        return self.sizes[node]


def interpolation(node: fx.Node, source: int, found: Found) -> Local:
    """``F.interpolate`` to any size in any mode that is separable."""
    names = ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias")
    given = dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)
    options: dict[str, Any] = dict(found.value(given))
    mode = options.get("mode", "nearest")
    if mode not in MODES:
        raise CutError(f"interpolation by {mode} has no fast form")
    before, after = found.size(node.args[0]), found.size(node)
    scale = options.pop("scale_factor", None)
    options.pop("size", None)

    def line(axis: int) -> Maps:
        if scale is None:
            return lambda x: F.interpolate(x, size=(after[axis], 1), **options)
        one = scale[axis] if isinstance(scale, tuple | list) else scale
        return lambda x: F.interpolate(x, scale_factor=(one, 1.0), **options)

    def dense(maps: Tensor) -> Tensor:
        if scale is None:
            return F.interpolate(maps, size=after, **options)
        return F.interpolate(maps, scale_factor=scale, **options)

    return resampled(source, before, (line(0), line(1)), dense, found.like)


def nearest_factor(node: fx.Node, found: Found) -> int | None:
    """By how much a nearest interpolation repeats each pixel, where that is a whole number."""
    mode = node.args[3] if len(node.args) > 3 else node.kwargs.get("mode", "nearest")
    before, after = found.size(node.args[0]), found.size(node)
    factor = after[0] // before[0]
    same = after == (before[0] * factor, before[1] * factor)
    return factor if mode in ("nearest", "nearest-exact") and same and factor > 1 else None


def only_convolved(half: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a map is read by convolutions alone that can take its upsampling in."""
    for user in node.users:
        part = half.get_submodule(str(user.target)) if user.op == "call_module" else None
        if isinstance(part, nn.Conv2d):
            taken = part.groups == 1 and part.stride == (1, 1) == part.dilation
        else:
            passed = user.target is torch.cat or isinstance(part, NOTHING_MODULES)
            taken = passed and only_convolved(half, user)
        if not taken:
            return False
    return bool(node.users)


def pooling(node: fx.Node, pool: nn.Module, source: int, found: Found) -> Local:
    """Average pooling, over everything as well, and maximum pooling that overlaps."""
    before, after = found.size(node.args[0]), found.size(node)
    match pool:
        case nn.AdaptiveAvgPool2d():
            lines = (_adaptive(after[0]), _adaptive(after[1]))
            return resampled(source, before, lines, pool, found.like)
        case nn.AvgPool2d() if pool.divisor_override is None:
            lines = (_averaging(pool, 0), _averaging(pool, 1))
            return resampled(source, before, lines, pool, found.like)
        case nn.MaxPool2d() if not pool.return_indices:
            options = (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
            rows, columns = (
                clamped(window(before[i], after[i], *(pair(one)[i] for one in options)))
                for i in range(2)
            )
            return Local(source, rows, columns, pool, maximum=True)
    raise CutError(f"{node.target} ({type(pool).__name__}) has no fast form")


def _adaptive(length: int) -> Maps:
    return lambda x: F.adaptive_avg_pool2d(x, (length, 1))


def _averaging(pool: nn.AvgPool2d, axis: int) -> Maps:
    kernel, stride, padding = (
        pair(one)[axis] for one in (pool.kernel_size, pool.stride, pool.padding)
    )
    return nn.AvgPool2d(
        (kernel, 1), (stride, 1), (padding, 0), pool.ceil_mode, pool.count_include_pad
    )


def depthwise(node: fx.Node, conv: nn.Conv2d, source: int, found: Found) -> Local:
    """A convolution that gives each channel one of its own."""
    before, after = found.size(node.args[0]), found.size(node)
    options = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
    rows, columns = (
        window(before[i], after[i], *(pair(one)[i] for one in options)) for i in range(2)
    )
    scale = conv.weight[:, 0].flatten(1).t().contiguous()
    return Local(source, rows, columns, conv, scale=scale, bias=conv.bias)


def ungrouped(conv: nn.Conv2d) -> Tensor:
    """(O, I, kh, kw): the weight of a grouped convolution with zeros between the groups."""
    weight, groups = conv.weight, conv.groups
    if groups == 1:
        return weight
    wide, out = weight.shape[1], weight.shape[0] // groups
    whole = weight.new_zeros((len(weight), conv.in_channels, *weight.shape[2:]))
    for group in range(groups):
        some = slice(group * out, (group + 1) * out)
        whole[some, group * wide : (group + 1) * wide] = weight[some]
    return whole


def pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
