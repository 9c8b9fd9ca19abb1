"""What is known of an operation's output before any item runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from agent.ablation.rows.geometry import Size, Stored


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


def channelwise(maps: Tensor, baseline: Tensor) -> Value:
    """(1, C, h, w) maps of which one channel at a time becomes its baseline, (1, C, h, w) too or
    (1, C, 1, 1)."""
    change = (baseline - maps)[0].flatten(1)
    return Value(size_of(maps), maps, None, True, True, change, baseline)


@dataclass(slots=True)
class Inputs:
    """What a picture brings: the ``layer``, and the ``constants`` that the first half left behind.
    ``skips``: what those add to convolutions, by place; the same for every kind of item."""

    layer: Value
    constants: Sequence[object]
    skips: dict[int, Tensor]


def size_of(maps: Tensor) -> Size:
    return int(maps.shape[2]), int(maps.shape[3])


def known(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor
