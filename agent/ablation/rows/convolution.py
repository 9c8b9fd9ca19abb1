"""Convolutions of whole maps: few channels summed at a time.

A library may sum all channels one after the other, and the error of a sum grows with its length:
see ``products.SUMMED``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from agent.ablation.rows.elementwise import Pointwise
from agent.ablation.rows.geometry import Walk
from agent.ablation.rows.weights import Merged


def convolved(
    x: Tensor,
    weights: Sequence[Tensor],
    bias: Tensor | None,
    walk: Walk,
    act: Pointwise | None,
) -> Tensor:
    """(N, C, h, w) -> (N, O, h', w'), new memory: some channels after the others, as many at a time
    as each of ``weights`` (O, c, kh, kw) has, then ``act``."""
    parts = torch.split(x, [weight.shape[1] for weight in weights], 1)
    found = F.conv2d(parts[0], weights[0], bias, *walk)
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        found += F.conv2d(part, weight, None, *walk)
    return applied(found, act)


def applied(x: Tensor, act: Pointwise | None) -> Tensor:
    """A function of what nobody else holds: a ReLU where it lies, another in new memory."""
    if act is torch.relu:
        return x.relu_()
    return x if act is None else act(x)


def upsampled(x: Tensor, up: Merged) -> Tensor:
    """An upsampling and the convolution after it, whole maps (N, C, h, w), no bias: some channels
    after the others, as many at a time as each weight has."""
    parts = torch.split(x, [len(weight) for weight in up.dense], 1)
    found = F.conv_transpose2d(parts[0], up.dense[0], None, up.factor, up.padding)
    for part, weight in zip(parts[1:], up.dense[1:], strict=True):
        found += F.conv_transpose2d(part, weight, None, up.factor, up.padding)
    return found
