"""How many operations a run takes, and how many a second the library's 3x3 convolutions do here:
what is left between a time and what it would be at their best speed."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

WIDE = ((64, 24, 8), (128, 12, 16), (32, 48, 4))
"""(channels, side, pictures): sizes at which the library does best."""
REPEATS = 15


def gflop(run: Callable[[], object]) -> float:
    """Billions of operations (a multiplication and an addition are two) that convolutions and
    products of one run take; those of other threads are not seen."""

    def convolution(
        x: torch.Size, weight: torch.Size, *_: object, out_shape: torch.Size, **__: object
    ) -> int:
        return conv_flop_count(x, weight, out_shape, transposed=False)

    known = {torch.ops.aten.mkldnn_convolution: convolution}
    with FlopCounterMode(display=False, custom_mapping=known) as counter:
        run()
    return float(counter.get_total_flops()) / 1e9


def one_thread_gflop(run: Callable[[], object]) -> float:
    """Of a run that would share its work among threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return gflop(run)
    finally:
        torch.set_num_threads(threads)


def operations(theirs: float, ours: float) -> str:
    """Both sides' GFLOP and how many times as many the peer's are: what the ratio of times would be
    if both did as many a second."""
    return f"{theirs:.0f} / {ours:.0f} = {theirs / ours:.1f}"


def most_gflop_s() -> float:
    """The most that a 3x3 convolution of the library reaches here, in billions a second, with the
    threads that torch has."""
    best = 0.0
    for channels, side, pictures in WIDE:
        x = torch.randn(pictures, channels, side, side).contiguous(
            memory_format=torch.channels_last
        )
        weight = torch.randn(channels, channels, 3, 3).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            work = gflop(lambda x=x, weight=weight: F.conv2d(x, weight, None, 1, 1))
            for _ in range(REPEATS):
                started = time.perf_counter()
                F.conv2d(x, weight, None, 1, 1)
                best = max(best, work / (time.perf_counter() - started))
    return best
