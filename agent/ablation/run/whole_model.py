"""The whole model, in its fastest form, on pictures of which parts are hidden.

Where only some pixels of the output are read, the model is run for those alone: in rows,
with the input in the layer's place. Everywhere else the model is run as the live path runs it:
BatchNorm folded, channels last.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from agent.ablation.core import timing
from agent.ablation.core.case import Case
from agent.ablation.core.effects import View, view
from agent.ablation.core.regions import Mask
from agent.ablation.core.scores import Target
from agent.ablation.core.tolerance import excess
from agent.ablation.rows import ops
from agent.ablation.rows.operation import Operation
from agent.ablation.rows.parallel_batches import even_batch, in_parallel
from agent.ablation.rows.program import Program
from agent.ablation.rows.shared import Shared
from agent.ablation.run import controls
from agent.ablation.run.batching import pixel_logits
from agent.ablation.split.prepared import Prepared
from agent.ablation.split.trace import CutError
from agent.config import Head
from agent.models.fusing import fold_batchnorm, fused
from agent.models.loaded import LoadedModel, as_logits
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

SOME = 0.25
"""Up to this share of the output's pixels, rows beat whole maps."""
BATCH = 8
ITEMS = 4
"""Pictures that both ways are timed on, in one batch."""


class WholeModel:
    """One ``model``; ``reader`` for each picture. Must be made and used without gradients.
    ``operations`` is all of it, on its input, None where it is made of others."""

    def __init__(self, model: LoadedModel, example: Tensor) -> None:
        self.model = model
        self._folded = fused(model)
        self.operations = _rows(model, self._folded, example)

    def reader(
        self, case: Case, pixels: Tensor, targets: Sequence[Target], count: int | None = None
    ) -> Reader:
        """Reads logits on ``pixels`` (h, w) bool of changed copies of a picture, so many where
        their ``count`` is known."""
        seen = view(pixels, targets)
        need = pixels.cpu().numpy()
        if self.operations is None or need.mean() > SOME:
            batch = BATCH if self.model.batchable else 1
            return Reader(seen, case, self._dense(seen), batch)
        batch = BATCH if count is None else even_batch(count + 1, BATCH, case.x.device)
        program = _program(self.operations, case.x, need, batch)

        def run(pictures: Tensor) -> Tensor:
            return pixel_logits(self.model, program.run_maps(pictures))

        return Reader(seen, case, run, batch, self.model.head)

    def _dense(self, seen: View) -> Callable[[Tensor], Tensor]:
        model = self._folded

        def run(pictures: Tensor) -> Tensor:
            batch = pictures.contiguous(memory_format=torch.channels_last)
            size = (pictures.shape[2], pictures.shape[3])
            return seen.of(as_logits(model, model.module(batch), size))

        return run


class Reader:
    """Changed copies of one picture by one way, ``run`` (n, C, h, w) -> (n, classes, P), read on
    the P pixels of ``seen``. ``rows``, the head of the model, where that way is one of rows: such
    batches run in parallel, and a null control stands before them."""

    def __init__(
        self,
        seen: View,
        case: Case,
        run: Callable[[Tensor], Tensor],
        batch: int,
        rows: Head | None = None,
    ) -> None:
        self.seen = seen
        self._case, self._way, self._batch, self._rows = case, run, batch, rows
        self._base: Tensor | None = None

    @property
    def base(self) -> Tensor:
        """(1, classes, P) of the picture as it is, by the way of all others, so that both sides of
        every difference have it; after the first ``run``."""
        assert self._base is not None
        return self._base

    def run(self, pictures: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, classes, P).

        ``NullControlError`` where the unchanged picture, which goes ahead of the first of them,
        does not give the plain model's logits.
        """
        first = self._base is None
        if first:
            pictures = torch.cat((self._case.x, pictures))
        parts = list(torch.split(pictures, self._batch))
        if self._rows is None:
            found = torch.cat([self._way(part) for part in parts])
        else:
            runs = in_parallel(self._way, parts, pictures.device)
            found = torch.cat([rows for _, rows in runs])
        if not first:
            return found
        self._base = found[:1]
        if self._rows is not None:
            controls.null_control(self._rows, self._case.logits, self._base, self.seen)
        return found[1:]


def whole_model_operations(model: LoadedModel, x: Tensor) -> list[Operation]:
    """The whole model as operations on its input (1, C, h, w); ``CutError`` where it is made of
    others, or torch.fx cannot follow it."""
    try:
        graph, _ = fold_batchnorm(model.module)
    except Exception as error:  # a foreign forward under a tracer may raise anything
        raise CutError(f"not traceable: {error}") from error
    if not isinstance(graph, torch.fx.GraphModule):
        raise CutError("no graph")
    return ops.operations(graph, model.output_key, _prepared(x))


def _prepared(x: Tensor) -> Prepared:
    return Prepared(x, (int(x.shape[2]), int(x.shape[3])), ())


def _program(operations: list[Operation], x: Tensor, need: Mask, batch: int) -> Program:
    """The rows ``need`` of whole pictures, changed copies of ``x`` (1, C, h, w)."""
    shared = Shared(operations, _prepared(x), torch.zeros_like(x[:, :, :1, :1]))
    return Program(shared, need, batch, single=False)


def _slower(operations: list[Operation], folded: LoadedModel, example: Tensor) -> str | None:
    some = example.expand(ITEMS, -1, -1, -1).contiguous(memory_format=torch.channels_last)
    need = timing.small_region((int(example.shape[2]), int(example.shape[3])))
    program = _program(operations, example, need, ITEMS)
    return timing.slower(
        lambda: program.run_maps(some),
        lambda: folded.module(some),
        example.device,
        time.perf_counter,
    )


def _rows(model: LoadedModel, folded: LoadedModel, example: Tensor) -> list[Operation] | None:
    """The model in rows, where it gives the plain model's logits on ``example`` and takes no longer
    for a small region than the ``folded`` model does for the whole, else None."""
    if not model.batchable:
        return None
    try:
        operations = whole_model_operations(model, example)
        need = np.random.default_rng(0).random(tuple(example.shape[2:])) < 0.01
        need[0], need[:, -1] = True, True
        program = _program(operations, example, need, 1)
        found = pixel_logits(model, program.run_maps(example))
    except CutError as error:
        reason = str(error)
    else:
        plain = as_logits(model, model.module(example), (example.shape[2], example.shape[3]))
        off = excess(model.head, found, plain, torch.from_numpy(need).to(example.device))
        if off is not None:
            reason = f"off by {off[0]:.3g}, allowed {off[1]:.3g}"
        elif (why := _slower(operations, folded, example)) is not None:
            reason = why
        else:
            return operations
    log_event(logger, logging.INFO, "input_rows_unused", model=model.name, reason=reason)
    return None
