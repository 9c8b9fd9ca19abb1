"""Items through the second half of the model, in batches of one size."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from agent.ablation.core.effects import View
from agent.ablation.core.perturbation import NULL, replaced
from agent.ablation.core.plan import METHOD_CONTROLS, Planned
from agent.ablation.core.timing import seconds
from agent.ablation.rows.parallel_batches import in_parallel
from agent.ablation.rows.program import Program
from agent.ablation.split.prepared import Prepared
from agent.ablation.split.split import Split
from agent.models.loaded import LoadedModel, as_logits
from agent.telemetry import Clock, log_event

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with (items done, items in all)."""
Tick = Callable[[], None]
"""Called between two batches; whoever runs out of time raises ``LateError`` in it."""

BATCHES = (1, 4, 8, 16, 32)
WORTH = 0.97
"""A larger batch is taken only when it costs less than this share of the smaller one's time."""


class Runner(Protocol):
    """Runs the items of one picture; every batch has the same size, so that all items, the null
    item among them, meet the same kernels."""

    batch: int

    def run(self, planned: Sequence[Planned]) -> Iterator[tuple[Sequence[Planned], Tensor]]:
        """Yield each batch's items and their (n, C, P) logits on the runner's pixels."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What runners of one picture share; ``baseline`` is (1, K, 1, 1)."""

    model: LoadedModel
    prepared: Prepared
    baseline: Tensor

    def maps(self, planned: Sequence[Planned], fill: int = 0) -> Tensor:
        """The replaced layers of the items (and of ``fill`` null items), (n, K, h, w)."""
        items = [p.item for p in planned] + [NULL] * fill
        return replaced(self.prepared.activation, self.baseline, items)


class SplitRunner:
    """Items through the general second half, read on the pixels of ``view``.

    A device that runs out of memory is asked for half a batch from then on, once: ``halved`` is
    told, so that the next picture starts there. A second time is an error.
    """

    def __init__(
        self,
        context: RunContext,
        split: Split,
        view: View,
        batch: int,
        halved: Callable[[int], None] | None = None,
    ) -> None:
        self.batch = batch
        self._context = context
        self._split = split
        self._view = view
        self._halved = halved

    def run(self, planned: Sequence[Planned]) -> Iterator[tuple[Sequence[Planned], Tensor]]:
        """A last batch that is not full is filled up with null items."""
        start = 0
        while start < len(planned):
            part = planned[start : start + self.batch]
            try:
                rows = self._rows(part)
            except torch.OutOfMemoryError:
                if self._halved is None or self.batch == 1:
                    raise
                rows = None
            if rows is None:  # outside the handler, which keeps the failed batch's tensors alive
                self._halve()
                continue
            start += len(part)
            yield part, rows

    def _rows(self, part: Sequence[Planned]) -> Tensor:
        context = self._context
        maps = context.maps(part, self.batch - len(part))
        output = self._split.suffix(maps, context.prepared)
        logits = as_logits(context.model, output, context.prepared.size)
        return self._view.of(logits[: len(part)])

    def _halve(self) -> None:
        assert self._halved is not None
        self.batch //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        log_event(logger, logging.WARNING, "ablation_batch_halved", batch=self.batch)
        self._halved(self.batch)
        self._halved = None


class MapsRunner:
    """Items of any kind through a ``Program`` of whole layers."""

    def __init__(self, context: RunContext, program: Program) -> None:
        self.batch = program.batch
        self._context = context
        self._program = program

    def run(self, planned: Sequence[Planned]) -> Iterator[tuple[Sequence[Planned], Tensor]]:
        parts = [planned[i : i + self.batch] for i in range(0, len(planned), self.batch)]
        return in_parallel(self._rows, parts, self._context.baseline.device)

    def _rows(self, part: Sequence[Planned]) -> Tensor:
        rows = self._program.run_maps(self._context.maps(part))
        return pixel_logits(self._context.model, rows)


class ChannelRunner(MapsRunner):
    """Single channels, and items of any other kind behind them, through a ``Program`` of channels.

    The null item comes with the first batch of all, ahead of the others: it is their base.
    """

    def __init__(self, context: RunContext, program: Program) -> None:
        super().__init__(context, program)
        self._started = False

    def run(self, planned: Sequence[Planned]) -> Iterator[tuple[Sequence[Planned], Tensor]]:
        if not self._started:
            planned, self._started = [Planned(NULL, METHOD_CONTROLS), *planned], True
        return super().run(planned)

    def _rows(self, part: Sequence[Planned]) -> Tensor:
        single = [p.channel for p in part if p.item is NULL or p.channel >= 0]
        others = part[len(single) :]
        maps = self._context.maps(others) if others else None
        return pixel_logits(self._context.model, self._program.run_channels(single, maps))


def pixel_logits(model: LoadedModel, rows: Tensor) -> Tensor:
    """The model's raw output on some pixels, (n, C, P), as logits whatever its head."""
    return as_logits(model, rows.unsqueeze(3)).squeeze(3)


def choose_batch(split: Split, prepared: Prepared, clock: Clock) -> int:
    """The smallest batch beyond which more items a pass save no time: it fits the cache. One where
    items are not proven to stay apart; none that the model fails on."""
    if not split.together:
        return 1
    best, best_s = BATCHES[0], _seconds_per_item(split, prepared, BATCHES[0], clock)
    for size in BATCHES[1:]:
        try:
            took_s = _seconds_per_item(split, prepared, size, clock)
        except Exception as error:  # noqa: BLE001 - a foreign graph may raise anything
            fields = {"batch": size, "reason": f"{type(error).__name__}: {error}"}
            log_event(logger, logging.WARNING, "ablation_batch_unused", **fields)
            break
        if took_s > WORTH * best_s:
            break
        best, best_s = size, took_s
    return best


def _seconds_per_item(split: Split, prepared: Prepared, size: int, clock: Clock) -> float:
    baseline = torch.zeros_like(prepared.activation[:, :, :1, :1])
    inputs = replaced(prepared.activation, baseline, [NULL] * size)
    device = inputs.device
    return seconds(lambda: split.suffix(inputs, prepared), device, clock, runs=2) / size
