"""Items through the second half of the model, in batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from agent.ablation.masking import NULL, replaced
from agent.ablation.plan import Planned
from agent.ablation.split import Prepared, Split
from agent.models.loaded import LoadedModel, as_logits
from agent.telemetry import Clock

Progress = Callable[[int, int], None]
"""Called with (items done, items in all)."""

BATCHES = (4, 8, 16, 32)
WORTH = 0.97
"""A larger batch is taken only when it costs less than this share of the smaller one's time."""


class Runner:
    """Runs the items of one picture; every batch has the same size, so that all items, the null
    item among them, meet the same kernels. The last batch is filled up with null items."""

    def __init__(
        self,
        model: LoadedModel,
        split: Split,
        prepared: Prepared,
        baseline: Tensor,
        batch: int,
    ) -> None:
        self._model = model
        self._split = split
        self._prepared = prepared
        self._baseline = baseline
        self.batch = batch

    def run(self, planned: Sequence[Planned]) -> Iterator[tuple[Sequence[Planned], Tensor]]:
        """Yield each batch's items and their logits (n, C, h, w)."""
        for start in range(0, len(planned), self.batch):
            part = planned[start : start + self.batch]
            items = [p.item for p in part] + [NULL] * (self.batch - len(part))
            inputs = replaced(self._prepared.activation, self._baseline, items)
            output = self._split.suffix(inputs, self._prepared)
            yield part, as_logits(self._model, output, self._prepared.size)[: len(part)]


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
