"""Timing two ways that agree: both are tried once a model, and the faster is kept.

A pooling over everything makes every pixel before it needed, and gathered rows are then slower than
plain convolutions of whole maps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from agent.ablation.core.regions import Mask
from agent.telemetry import Clock

NOISE = 1.1
"""Rows are given up where they take more than this many times as long as the general way."""


def small_region(size: tuple[int, int]) -> Mask:
    """(h, w) bool: a square of a quarter of the sides, about what is read of a picture."""
    need = np.zeros(size, np.bool_)
    height, width = size
    need[height * 3 // 8 : -(-height * 5 // 8), width * 3 // 8 : -(-width * 5 // 8)] = True
    return need


def slower(
    rows: Callable[[], object],
    general: Callable[[], object],
    device: torch.device,
    clock: Clock,
    noise: float = NOISE,
) -> str | None:
    """Why not to take rows, or another way: that they are slower for the same items; None where
    they are not."""
    mine, other = (seconds(way, device, clock) for way in (rows, general))
    if mine <= noise * other:
        return None
    return f"slower: {1000 * mine:.3g} ms, the general way {1000 * other:.3g} ms"


def seconds(way: Callable[[], object], device: torch.device, clock: Clock, runs: int = 3) -> float:
    """The shortest of some runs, after one that is not timed."""
    way()  # the first run chooses and compiles kernels
    times = []
    for _ in range(runs):
        started = clock()
        way()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - started)
    return min(times)
