"""Items through the second half of the model, in batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from agent.ablation.beside import side_by_side
from agent.ablation.fast import Program
from agent.ablation.masking import NULL, replaced
from agent.ablation.measure import View
from agent.ablation.plan import METHOD_CONTROLS, Planned
from agent.ablation.split import Prepared, Split
from agent.models.loaded import LoadedModel, as_logits
from agent.telemetry import Clock

Progress = Callable[[int, int], None]
"""Called with (items done, items in all)."""
Tick = Callable[[], None]
"""Called between two batches; whoever runs out of time raises ``LateError`` in it."""

BATCHES = (4, 8, 16, 32)
WORTH = 0.97
"""A larger batch is taken only when it costs less than this share of the smaller one's time."""


class Runner(Protocol):
    """Runs the items of one picture; every batch has the same size, so that all items, the null
    item among them, meet the same kernels."""

    batch: int

    def run(self, planned: Sequence[Planned]) -> Iterator[tuple[Sequence[Planned], Tensor]]:
        """Yield each batch's items and their (n, C, P) logits on the runner's pixels."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What runners of one picture share; ``baseline`` is (1, K, 1, 1)."""

    model: LoadedModel
    prepared: Prepared
    baseline: Tensor

    def maps(self, planned: Sequence[Planned], fill: int = 0) -> Tensor:
        """The replaced layers of the items (and of ``fill`` null items), (n, K, h, w)."""
        items = [p.item for p in planned] + [NULL] * fill
        return replaced(self.prepared.activation, self.baseline, items)


class SplitRunner:
    """Items through the general second half, read on the pixels of ``view``."""

    def __init__(self, bench: Bench, split: Split, view: View, batch: int) -> None:
        self.batch = batch
        self._bench = bench
        self._split = split
        self._view = view

    def run(self, planned: Sequence[Planned]) -> Iterator[tuple[Sequence[Planned], Tensor]]:
        """A last batch that is not full is filled up with null items."""
        bench = self._bench
        for start in range(0, len(planned), self.batch):
            part = planned[start : start + self.batch]
            maps = bench.maps(part, self.batch - len(part))
            output = self._split.suffix(maps, bench.prepared)
            logits = as_logits(bench.model, output, bench.prepared.size)
            yield part, self._view.of(logits[: len(part)])


class MapsRunner:
    """Items of any kind through a ``Program`` of whole layers."""

    def __init__(self, bench: Bench, program: Program) -> None:
        self.batch = program.batch
        self._bench = bench
        self._program = program

    def run(self, planned: Sequence[Planned]) -> Iterator[tuple[Sequence[Planned], Tensor]]:
        def run(part: Sequence[Planned]) -> Tensor:
            return pixel_logits(self._bench.model, self._program.run_maps(self._bench.maps(part)))

        return side_by_side(run, _parts(planned, self.batch), self._bench.baseline.device)


class ChannelRunner:
    """Single channels through a ``Program`` of channels.

    The null item comes with the first batch of all, ahead of its channels: it is their base.
    """

    def __init__(self, bench: Bench, program: Program) -> None:
        self.batch = program.batch
        self._bench = bench
        self._program = program
        self._started = False

    def run(self, planned: Sequence[Planned]) -> Iterator[tuple[Sequence[Planned], Tensor]]:
        if not self._started:
            planned, self._started = [Planned(NULL, METHOD_CONTROLS), *planned], True

        def run(part: Sequence[Planned]) -> Tensor:
            rows = self._program.run_channels([p.channel for p in part])
            return pixel_logits(self._bench.model, rows)

        return side_by_side(run, _parts(planned, self.batch), self._bench.baseline.device)


def _parts(planned: Sequence[Planned], batch: int) -> list[Sequence[Planned]]:
    return [planned[start : start + batch] for start in range(0, len(planned), batch)]


def pixel_logits(model: LoadedModel, rows: Tensor) -> Tensor:
    """The model's raw output on some pixels, (n, C, P), as logits whatever its head."""
    return as_logits(model, rows.unsqueeze(3)).squeeze(3)


def choose_batch(model: LoadedModel, split: Split, prepared: Prepared, clock: Clock) -> int:
    """The smallest batch beyond which more items a pass save no time: it fits the cache."""
    if not model.batchable:
        return 1
    best, best_s = BATCHES[0], _seconds_per_item(split, prepared, BATCHES[0], clock)
    for size in BATCHES[1:]:
        seconds = _seconds_per_item(split, prepared, size, clock)
        if seconds > WORTH * best_s:
            break
        best, best_s = size, seconds
    return best


def _seconds_per_item(split: Split, prepared: Prepared, size: int, clock: Clock) -> float:
    baseline = torch.zeros_like(prepared.activation[:, :, :1, :1])
    inputs = replaced(prepared.activation, baseline, [NULL] * size)
    split.suffix(inputs, prepared)  # the first run chooses and compiles kernels
    times = []
    for _ in range(2):
        started = clock()
        split.suffix(inputs, prepared)
        if inputs.device.type == "cuda":
            torch.cuda.synchronize(inputs.device)
        times.append(clock() - started)
    return min(times) / size
