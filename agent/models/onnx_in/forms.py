"""Modules of torch for operators whose form there is known once the size of the input is.

In the file such an operator computes its size from the shape of what it is given, which no tracer
can follow; all that comes from a picture of a fixed size has a fixed size itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from agent.models.onnx_in.checks import Known, Shapes

MODES = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}


class Resize(nn.Module):
    """(N, C, h, w) to ``size``, or by the factors ``scale``, as ``F.interpolate`` has them."""

    def __init__(
        self, mode: str, corners: bool | None, size: tuple[int, int] | None, scale: Any = None
    ) -> None:
        super().__init__()
        self.mode, self.corners, self.size, self.scale = mode, corners, size, scale

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(
            x, size=self.size, scale_factor=self.scale, mode=self.mode, align_corners=self.corners
        )


class Reshape(nn.Module):
    """(N, ...) to (N * first, *rest), or to ``rest`` where ``first`` is None."""

    def __init__(self, first: int | None, rest: tuple[int, ...]) -> None:
        super().__init__()
        self.first, self.rest = first, rest

    def forward(self, x: Tensor) -> Tensor:
        if self.first is None:
            return x.reshape(self.rest)
        return x.reshape(x.shape[0] * self.first, *self.rest)


class Slice(nn.Module):
    """A part of each axis; steps are positive, as torch has them."""

    def __init__(self, parts: tuple[slice, ...]) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, x: Tensor) -> Tensor:
        return x[self.parts]


def known_form(node: Any, constants: Mapping[str, Any], sizes: Shapes) -> nn.Module | None:
    """The module of a node that needs its first input alone, None where it needs more."""
    if node.op_type == "Reshape":
        found = _reshape(sizes.get(node.input[0]), sizes.get(node.output[0]))
        if found is not None or 0 not in constants.get(node.input[1], (0,)):
            _without(node, "allowzero")  # what a zero means is settled, or there is none
        return found
    if node.op_type == "Resize":
        return _resize(node, constants, sizes)
    if node.op_type == "Slice":
        return _slice(node, constants, sizes.get(node.input[0]))
    return None


def _without(node: Any, name: str) -> None:
    for one in list(node.attribute):
        if one.name == name:
            node.attribute.remove(one)


def _reshape(before: Known | None, after: Known | None) -> nn.Module | None:
    if not before or not after:
        return None
    one, two = after.shapes[0], after.shapes[-1]
    if one == two:
        return Reshape(None, one)
    grows = before.shapes[0][:1] == (1,) and before.shapes[-1][:1] == (2,)
    if grows and one[1:] == two[1:] and two[0] == 2 * one[0]:
        return Reshape(one[0], one[1:])
    return None


def _slice(node: Any, constants: Mapping[str, Any], given: Known | None) -> nn.Module | None:
    names = [*node.input[1:], "", "", ""][:4]
    if given is None or any(name and name not in constants for name in names):
        return None
    starts, ends, axes, steps = (constants[name].tolist() if name else None for name in names)
    if starts is None or ends is None:  # of the oldest files, which say it otherwise
        return None
    axes, steps = axes or range(len(starts)), steps or [1] * len(starts)
    if min(steps) < 1:
        return None
    rank = len(given.shapes[0])
    parts = [slice(None)] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        parts[axis % rank] = slice(start, end, step)
    return Slice(tuple(parts))


def _resize(node: Any, constants: Mapping[str, Any], sizes: Shapes) -> nn.Module | None:
    words = {one.name: one.s.decode() for one in node.attribute if one.s}
    mode = MODES[words.get("mode", "nearest")]
    corners = words.get("coordinate_transformation_mode") == "align_corners"
    align = None if mode == "nearest" else corners
    given, made = sizes.get(node.input[0]), sizes.get(node.output[0])
    if given is None or made is None:
        return None
    before, after = given.shapes[0], made.shapes[0]
    if len(after) != 4 or before[:2] != after[:2]:
        return None
    scales = node.input[2] if len(node.input) > 2 else ""
    if scales in constants and constants[scales].size == 4:
        across, along = constants[scales].tolist()[2:]
        return Resize(mode, align, None, (float(across), float(along)))
    return None if scales else Resize(mode, align, (after[2], after[3]))


def _gelu(node: Any) -> nn.Module:
    return nn.GELU(approximate=node.attributes.get("approximate", "none"))


ADDED = {"Gelu": _gelu, "Mish": lambda _node: nn.Mish()}
"""Operators of later opsets that torch has modules for and onnx2torch does not."""


def add_to(converters: Any, version: int) -> None:
    """Let onnx2torch know ``ADDED``, under the opset that everything is brought to."""
    common = importlib.import_module("onnx2torch.utils.common")
    for kind, make in ADDED.items():
        try:
            converters.get_converter(kind, version, "")
        except NotImplementedError:
            converters.add_converter(kind, version)(_converter(common, make))


def _converter(common: Any, make: Any) -> Any:
    def convert(node: Any, _graph: Any) -> Any:
        mapping = common.onnx_mapping_from_node(node)
        return common.OperationConverterResult(make(node), mapping)

    return convert
