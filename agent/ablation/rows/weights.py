"""The weights of a convolution laid out for rows, source by source."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agent.ablation.rows.geometry import Size, Walk
from agent.ablation.rows.operation import Operation
from agent.ablation.rows.products import summed
from agent.ablation.rows.up import Up


@dataclass(frozen=True, slots=True)
class Phase:
    """The pixels of a merged convolution at (``row``, ``column``) modulo the factor: ``taps`` are
    the (dy, dx) of the source's pixels that they read, ``rows`` (O, taps * C) the weights."""

    row: int
    column: int
    taps: tuple[Size, ...]
    rows: Tensor


@dataclass(frozen=True, slots=True)
class Merged:
    """An upsampling and the convolution after it as one operation on what is upsampled.

    A 2x2 transposed convolution with stride 2 and a 3x3 convolution are one transposed convolution
    of 4x4 with stride 2: four taps of the smaller map in place of nine of the larger one.
    ``dense`` (C, O, kh, kw) with ``padding`` is that one, by the channels that are summed in one
    go. Biases are in the constant.
    """

    source: int
    factor: int
    phases: tuple[Phase, ...]
    dense: tuple[Tensor, ...]
    padding: Size


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of a convolution's weight that reads one of its sources, in several layouts."""

    source: int
    dense: Tensor  # (O, C, kh, kw)
    blocks: tuple[Tensor, ...]  # the same by the channels that are summed in one go, channels last
    rows: Tensor  # (O, kh * kw * C)
    single: Tensor  # (C, kh * kw, O)
    merged: Merged | None = None

    @property
    def kernel(self) -> Size:
        return int(self.dense.shape[2]), int(self.dense.shape[3])


def sliced(
    weight: Tensor, walk: Walk, sources: Sequence[int], operations: Sequence[Operation]
) -> tuple[Slice, ...]:
    """A weight (O, I, kh, kw) over the concatenation of ``sources``, places of ``operations``, by
    source."""
    parts = torch.split(weight, [operations[source].width for source in sources], 1)
    return tuple(
        _slice(part, walk, source, operations[source])
        for part, source in zip(parts, sources, strict=True)
    )


def _slice(part: Tensor, walk: Walk, source: int, before: Operation) -> Slice:
    return Slice(
        source,
        part.contiguous(),
        _blocks(part),
        part.permute(0, 2, 3, 1).flatten(1).contiguous(),
        part.permute(1, 2, 3, 0).flatten(1, 2).contiguous(),
        merged(before, walk, part) if isinstance(before, Up) else None,
    )


def _blocks(part: Tensor) -> tuple[Tensor, ...]:
    """A weight (O, C, kh, kw) by the channels that are summed in one go."""
    each = _each(part.shape[1], part.shape[2] * part.shape[3])
    return tuple(
        some.contiguous(memory_format=torch.channels_last) for some in torch.split(part, each, 1)
    )


def _each(channels: int, taps: int) -> int:
    """How many channels are summed in one go: see ``products.SUMMED``."""
    return -(-channels // summed(channels, taps))


def merged(up: Up, walk: Walk, part: Tensor) -> Merged | None:
    """``up`` and then a convolution by ``part`` (O, I, kh, kw) as one; None where it saves nothing.

    Pixel f i + p of the output reads row f i + p - pad + ky of the upsampled map, which is row
    i + (p - pad + ky) // f of the source through row (p - pad + ky) % f of the upsampling. Composed
    in float64: the products are rounded once.
    """
    stride, padding, dilation = walk
    if stride != (1, 1) or dilation != (1, 1):
        return None
    factor, kernel = up.factor, (part.shape[2], part.shape[3])
    first, second = up.weight.to(torch.float64), part.to(torch.float64)
    phases = []
    for row, column in np.ndindex(factor, factor):
        found: dict[Size, Tensor] = {}
        for ky, kx in np.ndindex(*kernel):
            y, x = row - padding[0] + ky, column - padding[1] + kx
            tap = (y // factor, x // factor)
            product = second[:, :, ky, kx] @ first[:, :, y % factor, x % factor].t()
            found[tap] = found[tap] + product if tap in found else product
        weights = torch.cat([found[tap] for tap in sorted(found)], 1).to(part.dtype)
        phases.append(Phase(row, column, tuple(sorted(found)), weights.contiguous()))
    wide, narrow, out = up.weight.shape[0], up.weight.shape[1], part.shape[0]
    taps = sum(len(phase.taps) for phase in phases) / len(phases)
    if taps * wide * out > (kernel[0] * kernel[1] * out + wide) * narrow:
        return None
    whole = _transposed(phases, factor, wide)
    if whole is None:
        return None
    dense, padding = whole
    blocks = torch.split(dense, _each(wide, math.ceil(taps)))
    return Merged(up.sources[0], factor, tuple(phases), blocks, padding)


def _transposed(phases: Sequence[Phase], factor: int, wide: int) -> tuple[Tensor, Size] | None:
    """(C, O, kh, kw) and its padding: row i + d of the source adds to row f i + p of the output, so
    tap d of phase p has k = p - f d + padding. None where the output would be of another size."""
    places = [
        [(phase.row - factor * dy, phase.column - factor * dx) for dy, dx in phase.taps]
        for phase in phases
    ]
    rows, columns = zip(*(place for some in places for place in some), strict=True)
    padding = (-min(rows), -min(columns))
    size = (max(rows) + padding[0] + 1, max(columns) + padding[1] + 1)
    if any(size[i] - 2 * padding[i] != factor or padding[i] < 0 for i in range(2)):
        return None
    out = phases[0].rows.new_zeros((wide, phases[0].rows.shape[0], *size))
    for phase, some in zip(phases, places, strict=True):
        for (row, column), piece in zip(some, torch.split(phase.rows, wide, 1), strict=True):
            out[:, :, row + padding[0], column + padding[1]] = piece.t()
    return out, padding
