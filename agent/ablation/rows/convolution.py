"""Convolutions of whole maps: few channels summed at a time, and the rectifier in the same pass.

A map of the finest level is larger than a core's cache. A rectifier that reads and writes it once
more costs as much as the convolution before it (8 channels at 192x192: 1.4 ms in two passes, 0.4 in
one).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from agent.ablation.rows.elementwise import Pointwise
from agent.ablation.rows.ops import Walk
from agent.ablation.rows.weights import Merged
from agent.telemetry import log_event

logger = logging.getLogger(__name__)


ROUNDING = 1e-4
"""Of sums of 144 products of numbers around one: measured 1e-5."""


def convolved(
    x: Tensor,
    weights: Sequence[Tensor],
    bias: Tensor | None,
    walk: Walk,
    act: Pointwise | None,
) -> Tensor:
    """(N, C, h, w) -> (N, O, h', w'), new memory: some channels after the others, as many at a time
    as each of ``weights`` (O, c, kh, kw) has, then ``act``."""
    found: Tensor | None = None
    last = len(weights) - 1
    for number, (part, weight) in enumerate(_blocks(x, weights, 1)):
        rectify = number == last and act is torch.relu and can_fuse(part)
        if found is None:
            found = _first(part, weight, bias, walk, rectify)
        else:
            found = _added(found, part, weight, walk, rectify)
        if rectify:
            return found
    assert found is not None
    return applied(found, act)


def applied(x: Tensor, act: Pointwise | None) -> Tensor:
    """A function of what nobody else holds: a ReLU where it lies, another in new memory."""
    if act is torch.relu:
        return x.relu_()
    return x if act is None else act(x)


def _blocks(x: Tensor, weights: Sequence[Tensor], dim: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Each weight with the channels that it reads: as many as it has along ``dim``."""
    start = 0
    for weight in weights:
        stop = start + weight.shape[dim]
        yield x[:, start:stop], weight
        start = stop


def _first(x: Tensor, weight: Tensor, bias: Tensor | None, walk: Walk, act: bool) -> Tensor:
    if not act:
        return F.conv2d(x, weight, bias, *walk)
    found: Tensor = _library()._convolution_pointwise(
        x, weight, bias, *_of_library(walk), 1, "relu", [], ""
    )
    return found


def _added(to: Tensor, x: Tensor, weight: Tensor, walk: Walk, act: bool) -> Tensor:
    """Into ``to``."""
    if not act:
        return to.add_(F.conv2d(x, weight, None, *walk))
    found: Tensor = _library()._convolution_pointwise_.binary(
        to, x, weight, None, *_of_library(walk), 1, "add", 1.0, "relu", [], ""
    )
    return found


def upsampled(x: Tensor, up: Merged) -> Tensor:
    """An upsampling and the convolution after it, whole maps (N, C, h, w), no bias: some channels
    after the others, as many at a time as each weight has."""
    out: Tensor | None = None
    for part, weight in _blocks(x, up.dense, 0):
        found = F.conv_transpose2d(part, weight, None, up.factor, up.padding)
        out = found if out is None else out.add_(found)
    assert out is not None
    return out


def can_fuse(like: Tensor) -> bool:
    return like.device.type == "cpu" and like.dtype == torch.float32 and is_the_same()


@lru_cache(maxsize=1)
def is_the_same() -> bool:
    """Whether the library has both operations and they give what two passes give, within rounding;
    tried once a process. They are made for torch's compiler and promised to nobody else."""
    source = torch.Generator().manual_seed(0)
    x = torch.randn(1, 16, 12, 12, generator=source).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(8, 16, 3, 3, generator=source)
    bias = torch.randn(8, generator=source)
    walk = ((1, 1), (1, 1), (1, 1))
    try:
        with torch.no_grad():
            one = _first(x, weight, bias, walk, True)
            two = _added(_first(x, weight, bias, walk, False), x, weight, walk, True)
            plain = F.conv2d(x, weight, bias, 1, 1)
            again = F.conv2d(x, weight, None, 1, 1)
            same = all(
                torch.allclose(found, expected.relu(), atol=ROUNDING)
                for found, expected in ((one, plain), (two, plain + again))
            )
    except (AttributeError, RuntimeError) as error:
        log_event(logger, logging.INFO, "ablation_not_fused", reason=str(error))
        return False
    if not same:
        log_event(logger, logging.INFO, "ablation_not_fused", reason="other numbers")
    return same


def _library() -> Any:
    return torch.ops.mkldnn


def _of_library(walk: Walk) -> tuple[list[int], list[int], list[int]]:
    stride, padding, dilation = walk
    return list(padding), list(stride), list(dilation)
