"""A second half with its weights laid out for rows, and the product that rows go through."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agent.ablation.graph import (
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
from agent.ablation.split import Prepared
from agent.ablation.trace import CutError


def product(x: Tensor, weight: Tensor) -> Tensor:
    """(R, K) rows times (O, K) weights -> (R, O).

    On a CPU through oneDNN's 1x1 convolution, which uses the widest vectors of any CPU; the BLAS
    that torch is built with does so on one maker's only (measured: 90 against 210 GFLOP/s).
    """
    if x.device.type != "cpu" or x.dtype != torch.float32 or not _onednn():
        return F.linear(x, weight)
    picture = x.view(1, x.shape[0], 1, x.shape[1]).permute(0, 3, 1, 2)
    out = weight.shape[0]
    if out < VECTOR:
        weight = F.pad(weight, (0, 0, 0, VECTOR - out))
    kernel = weight.view(*weight.shape, 1, 1)
    found = torch.mkldnn_convolution(picture, kernel, None, (0, 0), (1, 1), (1, 1), 1)
    return found.permute(0, 2, 3, 1).reshape(x.shape[0], weight.shape[0])[:, :out]


VECTOR = 8
"""Fewer outputs than a vector has lanes cost more than a whole vector (measured: 3 take 1.8 times
as long as 8)."""
GATHER_FLOATS = 1 << 19
"""Values gathered before they are multiplied: two megabytes, about a core's own cache."""
SIZES = 8
"""How many sizes of product there are for one weight. oneDNN compiles and keeps a kernel for every
size that it meets, and every picture has its own count of pixels: without this the kernels of a
hundred pictures take a gigabyte."""


class Chunks:
    """``rows`` rows of ``inner`` values through one weight, some at a time, in few sizes."""

    def __init__(self, rows: int, inner: int, weight: Tensor) -> None:
        self.rows = rows
        step = max(1, GATHER_FLOATS // inner // SIZES)
        self._step, self._at_once = step, step * SIZES
        self._shape = (min(self._at_once, _up_to(rows, step)), inner)
        self._kept = threading.local()  # passes may run beside each other

    def product(self, weight: Tensor, fill: Callable[[slice, Tensor], None]) -> Tensor:
        """(rows, O). ``fill`` puts the rows of a slice into the scratch that it is given; what the
        scratch holds beyond them is multiplied as well and left out."""
        out = weight.new_empty((self.rows, weight.shape[0]))
        scratch: Tensor | None = getattr(self._kept, "scratch", None)
        if scratch is None:
            scratch = self._kept.scratch = weight.new_zeros(self._shape)
        for start in range(0, self.rows, self._at_once):
            count = min(self._at_once, self.rows - start)
            fill(slice(start, start + count), scratch)
            x = scratch[: _up_to(count, self._step)]
            out[start : start + count] = product(x, weight)[:count]
        return out


def _up_to(count: int, step: int) -> int:
    return -(-count // step) * step


def _onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


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
    ``dense`` (C, O, kh, kw) with ``padding`` is that one. Biases are in the constant.
    """

    source: int
    factor: int
    phases: tuple[Phase, ...]
    dense: Tensor
    padding: Size


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of a convolution's weight that reads one of its sources, in three layouts."""

    source: int
    dense: Tensor  # (O, C, kh, kw), channels last
    rows: Tensor  # (O, kh * kw * C)
    single: Tensor  # (C, kh * kw, O)
    merged: Merged | None = None


class FastHalf:
    """The operations of a second half and what depends on the model alone.

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
            case Pool() | Apply() | Affine():
                return self.widths[operation.source]

    def _sliced(self, conv: Conv) -> list[Slice]:
        out, start = [], 0
        for source in conv.sources:
            part = conv.weight[:, start : start + self.widths[source]]
            start += self.widths[source]
            before = self.operations[source]
            out.append(
                Slice(
                    source,
                    part.contiguous(memory_format=torch.channels_last),
                    part.permute(0, 2, 3, 1).flatten(1).contiguous(),
                    part.permute(1, 2, 3, 0).flatten(1, 2).contiguous(),
                    merged(before, conv, part) if isinstance(before, Up) else None,
                )
            )
        return out


def merged(up: Up, conv: Conv, part: Tensor) -> Merged | None:
    """``up`` and then ``part`` (O, I, kh, kw) of ``conv`` as one; None where it saves nothing.

    Pixel f i + p of the output reads row f i + p - pad + ky of the upsampled map, which is row
    i + (p - pad + ky) // f of the source through row (p - pad + ky) % f of the upsampling. Composed
    in float64: the products are rounded once.
    """
    factor, kernel, padding = up.factor, conv.kernel, conv.padding
    if conv.stride != (1, 1):
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
    return Merged(up.source, factor, tuple(phases), *whole)


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
        case Conv():
            return operation.sources
        case Up() | Pool() | Apply() | Affine():
            return (operation.source,)
        case _:
            return ()
