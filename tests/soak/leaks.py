"""Whether thousands of explanations leave anything behind: memory, hooks or graphs."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from agent import config
from agent.ablation.engine import Engine, Tuning
from tests.ablation.networks import UNET_LAYER, picture, unet

EXPLANATIONS = 10_000
SIDE = 48
READINGS = 100
"""Of the resident memory, over a run."""
WARM = 4
"""One of so many explanations fills the caches and is left out. They are bounded, but random regions
fill them slowly: a kernel of the library for each of eight sizes of a product, which it compiles when
it meets the size. Of a run of 2,000, memory in use grew by 0.3 MiB from the 100th to the 400th and
by 0.2 MiB from there to the 1,900th, and with one region over and over not at all."""
NOISE_MIB = 4.0
"""Growth over a whole run that nobody could tell from the allocator's own coming and going."""
ERRORS = 3.0
"""Or so many standard errors of the fitted slope."""


@dataclass(frozen=True, slots=True)
class Left:
    """After a run: growth of the fitted line over all of it and its standard error (MiB), hooks on
    the model's modules, and how many more graphs and modules live than after the warm-up."""

    growth_mib: float
    error_mib: float
    first_mib: float
    last_mib: float
    hooks: int
    more: int


def leaks(_folder: Path, share: float) -> tuple[list[str], list[str]]:
    """Measure, and return the table's lines and the bars that were missed."""
    count = max(READINGS, round(EXPLANATIONS * share))
    found = {
        name: run(_engine(rows=rows), count) for name, rows in (("fx+rows", True), ("fx", False))
    }
    lines = [
        f"{count} explanations of random regions, U-Net of 8 features, {SIDE} px, two threads",
        "",
        "| way | MiB after the warm-up | MiB at the end | growth by a fitted line, MiB | hooks | "
        "graphs and modules more |",
        "|---|---|---|---|---|---|",
        *(
            f"| {name} | {one.first_mib:.1f} | {one.last_mib:.1f} | {one.growth_mib:+.2f} "
            f"± {one.error_mib:.2f} | {one.hooks} | {one.more} |"
            for name, one in found.items()
        ),
        "",
    ]
    return lines, [f"{name}: {what}" for name, one in found.items() for what in misses(one)]


def misses(left: Left) -> Iterator[str]:
    """What of a run is not as it should be."""
    if left.growth_mib > max(NOISE_MIB, ERRORS * left.error_mib):
        yield f"memory grows by {left.growth_mib:.1f} MiB"
    if left.hooks:
        yield f"{left.hooks} hooks stay on the model"
    if left.more > 0:
        yield f"{left.more} graphs or modules stay alive"


def run(engine: Engine, count: int, readings: int = READINGS) -> Left:
    """Explain ``count`` random regions and see what is left; ``readings`` of the memory."""
    rng = np.random.default_rng(0)
    image = picture(SIDE)
    warm, every = max(1, count // WARM), max(1, count * (WARM - 1) // WARM // readings)
    extremes = list(_extremes())
    memory: list[float] = []
    alive = 0
    for number in range(count):
        if number == warm:
            alive = _alive()
        if number >= warm and (number - warm) % every == 0:
            memory.append(_resident_mib())
        region = _region(rng)
        if number < warm and number < len(extremes):
            region = extremes[number]
        engine.explain(image, region=region)
    growth, error = _line(np.array(memory))
    return Left(growth, error, memory[0], memory[-1], _hooks(engine), _alive() - alive)


def _engine(*, rows: bool) -> Engine:
    settings = config.Ablation(classes=("suture", "stem"), fractions=(1.0,))
    return Engine(unet(SIDE, 8), settings, UNET_LAYER, Tuning(batch=8, rows=rows))


def _region(rng: np.random.Generator) -> NDArray[np.uint8]:
    """(h, w) class indices: a bar and a square anywhere, of any size, so that every explanation
    meets a geometry of its own."""
    region = np.zeros((SIDE, SIDE), np.uint8)
    top, left = rng.integers(0, SIDE - 8, 2)
    region[top : top + rng.integers(2, 8)] = 1
    region[top : top + rng.integers(4, 12), left : left + rng.integers(4, 12)] = 2
    return region


def _extremes() -> Iterator[NDArray[np.uint8]]:
    """The largest and the smallest regions that ``_region`` makes, in the middle and at the rim: no
    later one asks for more memory at a time."""
    for thick, side in ((7, 11), (2, 4), (7, 4), (2, 11)):
        for top in (0, SIDE // 2 - 4, SIDE - 9):
            for left in (0, SIDE // 2 - 4, SIDE - 9):
                region = np.zeros((SIDE, SIDE), np.uint8)
                region[top : top + thick] = 1
                region[top : top + side, left : left + side] = 2
                yield region


def _line(values: NDArray[np.float64]) -> tuple[float, float]:
    """Growth over all values by least squares, and its standard error."""
    x = np.linspace(0, 1, values.size)
    slope, start = np.polyfit(x, values, 1)
    residual = values - (start + slope * x)
    spread = np.sqrt(residual @ residual / (values.size - 2))
    return float(slope), float(spread / np.sqrt(((x - x.mean()) ** 2).sum()))


def _resident_mib() -> float:
    """Without what the allocator holds that nobody uses: it keeps the most that the threads of one
    explanation ever had at once, and two of them rarely have it in the same order."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def _alive() -> int:
    gc.collect()
    kinds = (torch.nn.Module, torch.fx.Graph)
    return sum(issubclass(type(one), kinds) for one in gc.get_objects())


def _hooks(engine: Engine) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        for module in engine.model.module.modules()
    )
