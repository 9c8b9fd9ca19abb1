"""Operations that do the same to every pixel, and those that join two maps pixel by pixel."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, fx, nn

from agent.ablation.core.regions import Mask
from agent.ablation.rows import geometry
from agent.ablation.rows.elementwise import Pointwise, out_of_place
from agent.ablation.rows.geometry import Boxes, Size, Stored
from agent.ablation.rows.graph import Lowering, Reading
from agent.ablation.rows.operation import Channelwise, Layout, Pixelwise, Source, Step
from agent.ablation.rows.pairs import Pairs, Patched
from agent.ablation.split.trace import CutError


@dataclass(frozen=True, slots=True, eq=False)
class Apply(Pixelwise, Channelwise):
    """An element-wise function: ``act`` takes maps (N, C, h, w) and rows (R, C) alike."""

    act: Pointwise

    def maps(self, *maps: Tensor) -> Tensor:
        return self.act(maps[0])

    def of_rows(self, rows: Tensor) -> Tensor:
        return self.act(rows)


@dataclass(frozen=True, slots=True, eq=False)
class Join(Channelwise):
    """Two maps of as many channels, pixel by pixel; one of a single pixel is spread over the other.
    ``function`` gives zero for two zeros."""

    function: Callable[[Tensor, Tensor], Tensor]

    def size(self, before: Sequence[Size]) -> Size:
        sizes = set(before) - {(1, 1)} or {(1, 1)}
        if len(sizes) > 1:
            raise CutError("a join of maps of different sizes")
        return sizes.pop()

    def maps(self, *maps: Tensor) -> Tensor:
        return self.function(*maps)

    def read(self, need: Mask, size: Size) -> Mask:
        return need if size == need.shape else np.ones(size, np.bool_)

    def reach(self, before: Sequence[Boxes]) -> Boxes:
        first, last = np.minimum(*before), np.maximum(*before)
        return np.concatenate((first[:, :2], last[:, 2:]), axis=1)

    def step(self, place: int, layout: Layout) -> Step:
        stored = layout.values[place].stored = geometry.kept(layout.need(place))
        first, second = (_placed(layout, layout.source(source), stored) for source in self.sources)
        return lambda work: self.function(first(work), second(work))

    def patched(self, place: int, own: Pairs, run: Patched) -> Tensor:
        first, second = (run.at(source, own) for source in self.sources)
        return self.function(first, second)


def _placed(layout: Layout, before: Source, stored: Stored) -> Step:
    """The rows of a source as the rows of the output lie; one pixel is that of all."""
    pixels = stored.pixels
    if before.stored.size != stored.size:
        pixels = np.zeros_like(pixels)
    where = before.stored.where[pixels]
    if before.stored.count == stored.count and np.array_equal(where, np.arange(where.size)):
        return before.rows
    index = layout.index(where[:, None], before.stored).flatten()
    return lambda work: before.rows(work).index_select(0, index)


def apply(reading: Reading, node: fx.Node, act: Pointwise, argument: Any = None) -> None:
    """An element-wise function of ``argument``, the node's first; within the operation before it
    where that has such a form and nobody else reads it."""
    argument = node.args[0] if argument is None else argument
    source = reading.pixelwise(argument)
    before = reading.operations[source]
    alone = isinstance(argument, fx.Node) and len(argument.users) == 1
    both = before.with_act(act) if alone else None
    if both is not None:
        reading.fuse(node, source, both)
    else:
        reading.add_pixelwise(node, argument, Apply((source,), before.width, act))


def pointwise(act: Pointwise) -> Lowering:
    return lambda reading, node, _part: apply(reading, node, act)


def pointwise_module(reading: Reading, node: fx.Node, part: nn.Module) -> None:
    apply(reading, node, out_of_place(part))


def batch_norm(reading: Reading, node: fx.Node, norm: nn.BatchNorm2d) -> None:
    """One that no convolution took."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise CutError(f"{node.target}: a norm of the batch's own statistics")
    reading.single(node.args[0])
    act = partial(
        F.batch_norm,
        running_mean=mean,
        running_var=variance,
        weight=norm.weight,
        bias=norm.bias,
        eps=norm.eps,
    )
    apply(reading, node, act)


def joined(function: Callable[..., Any]) -> Lowering:
    """Of two maps, or of one and a number."""

    def lower(reading: Reading, node: fx.Node, _part: nn.Module | None) -> None:
        if len(node.args) != 2 or node.kwargs:
            raise CutError(f"{function.__name__} of other things than two has no fast form")
        first, second = node.args
        numbers = [not isinstance(a, fx.Node) or a in reading.found.numbers for a in node.args]
        if any(numbers):
            number = reading.found.value(node.args[numbers.index(True)])
            if numbers[1]:
                apply(reading, node, lambda x: function(x, number), first)
            else:
                apply(reading, node, lambda x: function(number, x), second)
            return
        if function is operator.truediv:
            raise CutError("a map divided by a map has no fast form")
        sources = (reading.single(first), reading.single(second))
        width, other = (reading.width(source) for source in sources)
        if width != other:
            raise CutError("a join of maps that have not as many channels")
        reading.add(node, Join(sources, width, function))

    return lower
