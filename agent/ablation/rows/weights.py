"""The operations behind a layer, with their weights laid out for rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agent.ablation.rows.local import Join, Local
from agent.ablation.rows.ops import (
    Affine,
    Apply,
    Constant,
    Conv,
    Layer,
    Operation,
    Pool,
    Size,
    Up,
)
from agent.ablation.rows.products import summed
from agent.ablation.rows.winograd import Form, transformed
from agent.ablation.split.prepared import Prepared
from agent.ablation.split.trace import CutError


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


class WeightLayout:
    """Operations and the layouts of their weights: all that depends on the model alone.

    ``widths`` is the channel count of each operation's output; ``slices`` the weights of each
    convolution by source; ``layer`` the place of the ablated layer.
    """

    def __init__(self, operations: Sequence[Operation], prepared: Prepared) -> None:
        self.operations = list(operations)
        self.widths: list[int] = []
        self.slices: dict[int, list[Slice]] = {}
        for place, operation in enumerate(operations):
            self.widths.append(self._width(place, operation, prepared))
        self.layer = next(i for i, o in enumerate(operations) if isinstance(o, Layer))
        self._kernels: dict[tuple[int, Form], Tensor] = {}

    def kernel(self, form: Form, rows: Tensor) -> Tensor:
        """The weights ``rows`` of a slice or phase for tiles; made once a model."""
        key = (id(rows), form)
        if key not in self._kernels:
            self._kernels[key] = transformed(form, rows)
        return self._kernels[key]

    def _width(self, place: int, operation: Operation, prepared: Prepared) -> int:
        match operation:
            case Layer():
                return int(prepared.activation.shape[1])
            case Constant(index):
                constant = prepared.constants[index]
                if not isinstance(constant, Tensor) or constant.ndim != 4:
                    raise CutError("a constant that is no map")
                return int(constant.shape[1])
            case Conv():
                self.slices[place] = self._sliced(operation)
                return int(operation.weight.shape[0])
            case Up():
                return int(operation.weight.shape[1])
            case Pool() | Apply() | Affine() | Local():
                return self.widths[operation.source]
            case Join((first, second)):
                if self.widths[first] != self.widths[second]:
                    raise CutError("a join of maps that have not as many channels")
                return self.widths[first]

    def _sliced(self, conv: Conv) -> list[Slice]:
        out, start = [], 0
        for source in conv.sources:
            part = conv.weight[:, start : start + self.widths[source]]
            start += self.widths[source]
            before = self.operations[source]
            out.append(
                Slice(
                    source,
                    part.contiguous(),
                    _blocks(part),
                    part.permute(0, 2, 3, 1).flatten(1).contiguous(),
                    part.permute(1, 2, 3, 0).flatten(1, 2).contiguous(),
                    merged(before, conv, part) if isinstance(before, Up) else None,
                )
            )
        return out


def _blocks(part: Tensor) -> tuple[Tensor, ...]:
    """A weight (O, C, kh, kw) by the channels that are summed in one go."""
    each = _each(part.shape[1], part.shape[2] * part.shape[3])
    return tuple(
        some.contiguous(memory_format=torch.channels_last) for some in torch.split(part, each, 1)
    )


def _each(channels: int, taps: int) -> int:
    """How many channels are summed in one go: see ``products.SUMMED``."""
    return -(-channels // summed(channels, taps))


def merged(up: Up, conv: Conv, part: Tensor) -> Merged | None:
    """``up`` and then ``part`` (O, I, kh, kw) of ``conv`` as one; None where it saves nothing.

    Pixel f i + p of the output reads row f i + p - pad + ky of the upsampled map, which is row
    i + (p - pad + ky) // f of the source through row (p - pad + ky) % f of the upsampling. Composed
    in float64: the products are rounded once.
    """
    factor, kernel, padding = up.factor, conv.kernel, conv.padding
    if conv.stride != (1, 1) or conv.dilation != (1, 1):
        return None
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
    return Merged(up.source, factor, tuple(phases), blocks, padding)


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


def sources(operation: Operation) -> tuple[int, ...]:
    """The places of the operations that this one reads."""
    match operation:
        case Conv() | Join():
            return operation.sources
        case Up() | Pool() | Apply() | Affine() | Local():
            return (operation.source,)
        case _:
            return ()
