"""Batches of items in parallel: one thread each, instead of threads inside operators.

The operators of one batch are many and small; shared among threads each of them waits for the
slowest. Batches wait for nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


def workers(device: torch.device) -> int:
    """How many batches run at a time: as many as torch has threads in the calling thread, on a CPU;
    one elsewhere."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def even_batch(items: int, most: int, device: torch.device) -> int:
    """How many of so many items a batch takes: at most ``most``, in equal batches whose number is a
    multiple of those that run at a time, where there are more of them than that."""
    batches = -(-items // most)
    some = workers(device)
    if batches > some:
        batches = -(-batches // some) * some
    return -(-items // batches)


def in_parallel(
    run: Callable[[Part], Result], parts: Sequence[Part], device: torch.device
) -> Iterator[tuple[Part, Result]]:
    """Each part with what ``run`` makes of it, in order, ``workers`` of them at a time. Whoever
    stops asking stops the work but for the parts in hand.
    """
    threads = min(workers(device), len(parts))
    if threads < 2:
        for part in parts:
            yield part, run(part)
        return
    allowed = torch.get_num_threads()

    def alone(part: Part) -> Result:
        with torch.no_grad():  # the mode belongs to a thread
            return run(part)

    waiting: deque[tuple[Part, Future[Result]]] = deque()
    with ThreadPoolExecutor(threads, "ablation", torch.set_num_threads, (1,)) as pool:
        # The caller as well: after an operator that was shared among threads the others go on
        # waiting for the next one actively, on the cores that the batches need.
        torch.set_num_threads(1)
        try:
            for part in parts:
                waiting.append((part, pool.submit(alone, part)))
                if len(waiting) > threads:  # one lies ready while the caller reads a result
                    yield _next(waiting)
            while waiting:
                yield _next(waiting)
        finally:
            for _, future in waiting:
                future.cancel()
            torch.set_num_threads(allowed)  # for threads that torch starts later


def _next(waiting: deque[tuple[Part, Future[Result]]]) -> tuple[Part, Result]:
    part, future = waiting.popleft()
    return part, future.result()
