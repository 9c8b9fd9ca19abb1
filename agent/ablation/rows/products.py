"""The matrix product that rows go through: on a CPU, the faster of the two that torch has."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import lru_cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from agent.ablation.core.timing import seconds

VECTOR = 8
"""oneDNN: fewer outputs than a vector has lanes cost more than a whole vector (measured: 3 take 1.8
times as long as 8)."""
CLEARLY = 1.3
"""How many times as fast oneDNN must be: where both are equal on this product, the BLAS wins on the
smaller ones, and tiles (``winograd``) need it."""
GATHER_FLOATS = 1 << 19
"""Values gathered before they are multiplied: two megabytes, about a core's own cache."""
SUMMED = 288
"""Values that one product sums; longer sums are made of several products that are added up.

A library may sum all of them one after the other, and the error of a sum grows with the root of its
length: of 2304 values oneDNN's 1x1 convolution erred 7.2 half-steps of float32, in blocks of 256
3.6, the BLAS, which sums in blocks itself, 3.2, for 4 to 11 % more time (AVX-512)."""
LONG = 1152
"""Of more values half as many at a time."""
SIZES = 8
"""How many sizes of product there are for one weight. oneDNN compiles and keeps a kernel for every
size that it meets, and every picture has its own count of pixels: without this the kernels of a
hundred pictures take a gigabyte."""

_kept = threading.local()


def product(x: Tensor, weight: Tensor, out: Tensor | None = None, *, add: bool = False) -> Tensor:
    """(R, K) rows times (O, K) weights -> (R, O), into ``out`` where one is given, or added to
    it."""
    if x.device.type == "cpu" and x.dtype == torch.float32 and onednn_is_faster():
        found = _onednn(x, weight)
        if out is None:
            return found
        return out.add_(found) if add else out.copy_(found)
    if out is not None and add:
        return torch.addmm(out, x, weight.t(), out=out)
    return torch.mm(x, weight.t()) if out is None else torch.mm(x, weight.t(), out=out)


@lru_cache(maxsize=1)
def onednn_is_faster() -> bool:
    """Whether oneDNN's 1x1 convolution clearly beats the BLAS of torch, tried once a process.

    It depends on the CPU: the BLAS uses the widest vectors of one maker's only (measured with
    AVX-512: 210 against 90 GFLOP/s), but is the better one for small products where both use the
    same (with AVX2: 16 against 32).
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    x, weight = torch.ones(1024, 512), torch.ones(128, 512)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as products run; several wait for each other on a busy machine
    try:
        mine, other = (
            seconds(partial(way, x, weight), x.device, time.perf_counter, runs=9)
            for way in (_onednn, F.linear)
        )
    finally:
        torch.set_num_threads(threads)
    return CLEARLY * mine < other


def _onednn(x: Tensor, weight: Tensor) -> Tensor:
    picture = x.view(1, x.shape[0], 1, x.shape[1]).permute(0, 3, 1, 2)
    out = weight.shape[0]
    if out < VECTOR:
        weight = F.pad(weight, (0, 0, 0, VECTOR - out))
    kernel = weight.view(*weight.shape, 1, 1)
    found = torch.mkldnn_convolution(picture, kernel, None, (0, 0), (1, 1), (1, 1), 1)
    return found.permute(0, 2, 3, 1).reshape(x.shape[0], weight.shape[0])[:, :out]


Fill = Callable[[slice, int, Tensor], None]
"""Puts what a slice of rows reads at the taps of a block into a scratch (rows, inner)."""


class Chunks:
    """``rows`` rows that each read ``taps`` pixels of ``width`` values, through one weight: some
    rows and a block of taps at a time, in few sizes."""

    def __init__(self, rows: int, taps: int, width: int) -> None:
        self.rows = rows
        each = -(-taps // summed(taps, width))
        self.blocks = [slice(t, min(taps, t + each)) for t in range(0, taps, each)]
        self._width = width
        step = max(1, GATHER_FLOATS // (each * width) // SIZES)
        self._step, self._at_once = step, step * SIZES
        self._shape = (min(self._at_once, _up_to(rows, step)), each * width)

    def product(self, weight: Tensor, fill: Fill) -> Tensor:
        """(rows, O) for ``weight`` (O, taps * width). What the scratch that ``fill`` is given holds
        beyond its rows is multiplied as well and left out."""
        out = weight.new_empty((self.rows, weight.shape[0]))
        place = scratch(weight, "gathered", *self._shape)
        for number, block in enumerate(self.blocks):
            some = weight[:, block.start * self._width : block.stop * self._width].contiguous()
            gathered = place.view(-1)[: len(place) * some.shape[1]].view(len(place), -1)
            for start in range(0, self.rows, self._at_once):
                count = min(self._at_once, self.rows - start)
                fill(slice(start, start + count), number, gathered)
                rounded = min(_up_to(count, self._step), len(gathered))
                to = out[start : start + count]
                if rounded == count:
                    product(gathered[:count], some, to, add=number > 0)
                else:
                    found = product(gathered[:rounded], some)[:count]
                    to.add_(found) if number else to.copy_(found)
        return out


def at_a_time(values: int) -> int:
    """Of so many values, how many are summed in one go."""
    return SUMMED if values <= LONG else SUMMED // 2


def summed(taps: int, width: int) -> int:
    """In how many blocks of whole taps so many values are summed."""
    return -(-taps // max(1, at_a_time(taps * width) // width))


def scratch(like: Tensor, name: str, rows: int, inner: int) -> Tensor:
    """(rows, inner) of whatever was there: one of a name for all products of a thread, which come
    one after the other."""
    kept: Tensor | None = getattr(_kept, name, None)
    size = rows * inner
    if (
        kept is None
        or kept.numel() < size
        or (kept.dtype, kept.device) != (like.dtype, like.device)
    ):
        kept = like.new_zeros(size)
        setattr(_kept, name, kept)
    return kept[:size].view(rows, inner)


def _up_to(count: int, step: int) -> int:
    return -(-count // step) * step
