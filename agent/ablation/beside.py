"""Batches of items beside each other: one thread each, instead of threads inside operators.

The operators of one batch are many and small; shared among threads each of them waits for the
slowest. Batches wait for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


def side_by_side(
    run: Callable[[Part], Result], parts: Sequence[Part], device: torch.device
) -> Iterator[tuple[Part, Result]]:
    """Each part with what ``run`` makes of it, in order. As many at a time as torch has threads in
    the calling thread, on a CPU; one after the other elsewhere. Whoever stops asking stops the work
    but for the parts in hand.
    """
    threads = min(torch.get_num_threads(), len(parts)) if device.type == "cpu" else 1
    if threads < 2:
        for part in parts:
            yield part, run(part)
        return
    allowed = torch.get_num_threads()

    def alone(part: Part) -> Result:
        with torch.no_grad():  # the mode belongs to a thread
            return run(part)

    with ThreadPoolExecutor(threads, "ablation", torch.set_num_threads, (1,)) as pool:
        try:
            for start in range(0, len(parts), threads):
                some = parts[start : start + threads]
                yield from zip(some, list(pool.map(alone, some)), strict=True)
        finally:
            torch.set_num_threads(allowed)  # for threads that torch starts later
