"""A second half with its weights laid out for rows, and the product that rows go through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    kernel = weight.view(*weight.shape, 1, 1)
    out = torch.mkldnn_convolution(picture, kernel, None, (0, 0), (1, 1), (1, 1), 1)
    return out.permute(0, 2, 3, 1).reshape(x.shape[0], weight.shape[0])


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
        self._scratch = weight.new_zeros((min(self._at_once, _up_to(rows, step)), inner))

    def product(self, weight: Tensor, fill: Callable[[slice, Tensor], None]) -> Tensor:
        """(rows, O). ``fill`` puts the rows of a slice into the scratch that it is given; what the
        scratch holds beyond them is multiplied as well and left out."""
        out = weight.new_empty((self.rows, weight.shape[0]))
        for start in range(0, self.rows, self._at_once):
            count = min(self._at_once, self.rows - start)
            fill(slice(start, start + count), self._scratch)
            x = self._scratch[: _up_to(count, self._step)]
            out[start : start + count] = product(x, weight)[:count]
        return out


def _up_to(count: int, step: int) -> int:
    return -(-count // step) * step


def _onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of a convolution's weight that reads one of its sources, in three layouts."""

    source: int
    dense: Tensor  # (O, C, kh, kw), channels last
    rows: Tensor  # (O, kh * kw * C)
    single: Tensor  # (C, kh * kw, O)


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
            out.append(
                Slice(
                    source,
                    part.contiguous(memory_format=torch.channels_last),
                    part.permute(0, 2, 3, 1).flatten(1).contiguous(),
                    part.permute(1, 2, 3, 0).flatten(1, 2).contiguous(),
                )
            )
        return out


def sources(operation: Operation) -> tuple[int, ...]:
    """The places of the operations that this one reads."""
    match operation:
        case Conv():
            return operation.sources
        case Up() | Pool() | Apply() | Affine():
            return (operation.source,)
        case _:
            return ()
