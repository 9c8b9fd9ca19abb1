"""What all items of one picture share, computed once: skips, biases, and the unablated layer.

- What does not depend on the layer - skips, biases, what a skip adds to a convolution - is one
  constant map a picture.
- From the layer to the first non-linearity everything is linear, so ablating channel k changes a
  convolution's output by the convolution of channel k alone: W[:, k] * (b_k - A_k). The rest is the
  same for all channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from agent.ablation.rows import geometry
from agent.ablation.rows.geometry import Stored
from agent.ablation.rows.local import Join, Local
from agent.ablation.rows.ops import Affine, Apply, Constant, Conv, Layer, Operation, Pool, Size, Up
from agent.ablation.rows.weights import Merged, Slice, WeightLayout, sources
from agent.ablation.split.prepared import Prepared
from agent.ablation.split.trace import CutError


@dataclass(slots=True)
class Value:
    """What is known of one operation's output for a picture.

    An item's output is ``constant`` (1, C, h, w), the same for all, plus its rows, if it has any:
    those lie as ``stored`` says. Above the first convolution of a channel's way it is
    ``channelwise`` instead: item n has channel k_n of ``constant`` changed by ``change``
    (C, h * w). ``layered`` says that the constant holds the layer. ``offset`` (1, C, h, w) is what
    a convolution adds to every item's rows itself. ``fixed``: the constant is all there is.
    """

    size: Size
    constant: Tensor | None = None
    stored: Stored | None = None
    channelwise: bool = False
    layered: bool = False
    change: Tensor | None = None
    baseline: Tensor | None = None
    offset: Tensor | None = None
    fixed: bool = False


@dataclass(slots=True)
class Shared:
    """One picture on a ``WeightLayout``: ``values`` for single channels or for whole maps.

    What the skips add to convolutions is the same for both and kept.
    """

    layout: WeightLayout
    prepared: Prepared
    baseline: Tensor
    _skips: dict[int, Tensor] = field(default_factory=dict)

    def values(self, *, single: bool) -> list[Value]:
        """One value per operation. ``single``: each item changes one channel of the layer, known
        beforehand; otherwise each brings a whole layer of its own, (N, K, h, w), as rows."""
        found: list[Value] = []
        for place, operation in enumerate(self.layout.operations):
            found.append(self._value(place, operation, found, single))
        return found

    def _value(self, place: int, operation: Operation, values: list[Value], single: bool) -> Value:
        match operation:
            case Layer():
                activation = self.prepared.activation
                if single:
                    return _channelwise(activation, self.baseline)
                return Value(_size(activation), stored=geometry.everything(_size(activation)))
            case Constant(index):
                constant = self.prepared.constants[index]
                return Value(_size(constant), constant, fixed=True)
            case Apply(source, _) | Affine(source, _, _):
                return _elementwise(values[source], _function(operation))
            case Pool(source, factor):
                before = values[source]
                if before.channelwise:
                    return _each(before, _function(operation))
                return Value((before.size[0] // factor, before.size[1] // factor))
            case Up(source, weight, bias, factor):
                before = values[source]
                size = (before.size[0] * factor, before.size[1] * factor)
                constant = before.constant
                if constant is None:
                    constant = weight.new_zeros((1, weight.shape[0], *before.size))
                grown = F.conv_transpose2d(constant, weight, bias, stride=factor)
                return Value(size, grown, layered=before.layered)
            case Local(source):
                return _local(operation, values[source])
            case Join((first, second)):
                return _joined(operation, values[first], values[second])
            case Conv():
                return self._conv(place, operation, values)

    def _conv(self, place: int, conv: Conv, values: list[Value]) -> Value:
        parts = [values[source] for source in conv.sources]
        size = geometry.conv_size(parts[0].size, conv.kernel, *conv.walk)
        lasting = not any(part.layered for part in parts)
        if lasting and place in self._skips:
            return Value(size, offset=self._skips[place])
        known = [
            (part.constant, piece.dense)
            for part, piece in zip(parts, self.layout.slices[place], strict=True)
            if part.constant is not None
        ]
        if known:
            # In the library's own blocks: channels last, it sums one value after the other.
            x = torch.cat([constant for constant, _ in known], 1).contiguous()
            weight = torch.cat([w for _, w in known], 1)
            offset = F.conv2d(x, weight, conv.bias, *conv.walk)
        else:
            wide = conv.bias if conv.bias is not None else conv.weight.new_zeros(len(conv.weight))
            offset = wide.view(1, -1, 1, 1).expand(1, -1, *size)
        if lasting:
            self._skips[place] = offset
        return Value(size, offset=offset)


def usable(piece: Slice, values: Sequence[Value]) -> Merged | None:
    """The merged form of a slice, unless what is upsampled differs in one channel only."""
    up = piece.merged
    return None if up is None or values[up.source].channelwise else up


def changes(layout: WeightLayout, values: Sequence[Value], maps: Tensor) -> dict[int, Tensor]:
    """What (N, K, h, w) outputs of the layer, of any kind, change at each operation up to the first
    that mixes channels: (N, C, h', w') beside the same of the picture as it is."""
    found: dict[int, Tensor] = {}
    for place, operation in enumerate(layout.operations):
        if values[place].channelwise:
            given = [found.get(source, values[source].constant) for source in sources(operation)]
            found[place] = _function(operation)(*given) if given else maps
    return {place: whole - _known(values[place].constant) for place, whole in found.items()}


def _function(operation: Operation) -> Callable[..., Tensor]:
    """What an operation that mixes no channels does to whole maps."""
    match operation:
        case Apply(_, act):
            return act
        case Affine(_, scale, shift):
            wide, add = scale.view(1, -1, 1, 1), shift.view(1, -1, 1, 1)
            return lambda maps: maps * wide + add
        case Pool(_, factor):
            return lambda maps: F.max_pool2d(maps, factor)
        case Local():
            return operation.dense
        case Join():
            return operation.function
        case _:
            raise CutError(f"{type(operation).__name__} mixes channels")


def _elementwise(before: Value, act: Callable[[Tensor], Tensor]) -> Value:
    if before.channelwise:
        return _channelwise(act(_known(before.constant)), act(_known(before.baseline)))
    return Value(before.size)


def _each(before: Value, act: Callable[[Tensor], Tensor]) -> Value:
    """What is done to each channel for itself changes the one channel of an item alone."""
    maps = _known(before.constant)
    return _channelwise(act(maps), act(_known(before.baseline).expand_as(maps)))


def _local(local: Local, before: Value) -> Value:
    if before.size != local.before:
        raise CutError(f"a map of {before.size} where {local.before} was read")
    return _each(before, _function(local)) if before.channelwise else Value(local.size)


def _joined(join: Join, first: Value, second: Value) -> Value:
    """Two maps of which one channel alone changes, or one of them and a constant, stay such."""
    sizes = {first.size, second.size} - {(1, 1)} or {(1, 1)}
    if len(sizes) > 1:
        raise CutError("a join of maps of different sizes")
    both = (first, second)
    alike = all(value.channelwise or value.fixed for value in both)
    if not alike or (first.fixed and second.fixed):
        return Value(sizes.pop())
    maps = join.function(_known(first.constant), _known(second.constant))
    ends = [_known(value.constant if value.fixed else value.baseline) for value in both]
    return _channelwise(maps, join.function(*ends).expand_as(maps))


def _channelwise(maps: Tensor, baseline: Tensor) -> Value:
    """(1, C, h, w) maps of which one channel at a time becomes its (1, C, 1, 1) baseline."""
    change = (baseline - maps)[0].flatten(1)
    return Value(_size(maps), maps, None, True, True, change, baseline)


def _known(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor


def _size(tensor: Tensor) -> Size:
    return int(tensor.shape[2]), int(tensor.shape[3])
