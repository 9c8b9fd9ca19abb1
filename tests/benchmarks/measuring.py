"""Times, medians and memory, the same way for every row."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

FEW, MORE = 4, 12
"""Channels of a peer's two runs."""


@dataclass(frozen=True, slots=True)
class Took:
    """``wall_s`` is what a user waits on a quiet machine; ``cpu_s``, processor time of all threads,
    means something on a busy one too."""

    wall_s: float
    cpu_s: float

    def times(self, factor: float) -> Took:
        return Took(self.wall_s * factor, self.cpu_s * factor)


def took(run: Callable[[], Result]) -> tuple[Took, Result]:
    """How long one run took, and what it gave."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    return Took(time.perf_counter() - wall, time.process_time() - cpu), result


def median(found: list[Took]) -> Took:
    return Took(
        statistics.median(one.wall_s for one in found),
        statistics.median(one.cpu_s for one in found),
    )


def best(found: list[Took]) -> Took:
    """The run with the least processor time: of two settings, the one that a busy machine cannot
    make look the better."""
    return min(found, key=lambda one: one.cpu_s)


def slope(run: Callable[[int], object], wanted: int) -> Took:
    """Time for ``wanted`` channels from two smaller numbers of them: it is a + b n.

    A first run that is not timed compiles kernels. ``ArithmeticError`` where more channels took no
    longer: the machine is too busy for this.
    """
    run(1)
    few, more = took(lambda: run(FEW))[0], took(lambda: run(MORE))[0]

    def line(first: float, second: float) -> float:
        return first + (second - first) / (MORE - FEW) * (wanted - FEW)

    if not (more.wall_s > few.wall_s and more.cpu_s > few.cpu_s):
        raise ArithmeticError(f"{MORE} channels took no longer than {FEW}: the machine is too busy")
    return Took(line(few.wall_s, more.wall_s), line(few.cpu_s, more.cpu_s))


def ratio(theirs: Took, ours: Took) -> str:
    """By the clock, and by processor time in brackets."""
    return f"**{theirs.wall_s / ours.wall_s:.1f}** ({theirs.cpu_s / ours.cpu_s:.1f})"


def against(found: float, bar: float, *, at_least: bool) -> str:
    """The bar of a row, and whether it is met."""
    met = found >= bar if at_least else found <= bar
    return f"{'>=' if at_least else '<='} {bar:g}: {'met' if met else 'missed'}"


def memory_added(run: Callable[[], Result]) -> tuple[float, Result]:
    """MiB by which the run's highest memory exceeds what the process had before it (Linux)."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    out = run()
    return (status("VmHWM") - before) / 1024, out


def status(name: str) -> int:
    """A number of KiB that Linux keeps of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise KeyError(name)
