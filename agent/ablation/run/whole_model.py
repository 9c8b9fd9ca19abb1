"""The whole model, in its fastest form, on pictures of which parts are hidden.

Where only some pixels of the output are read, the model is run for those alone: in rows,
with the input in the layer's place. Everywhere else the model is run as the live path runs it:
BatchNorm folded, channels last. Where either fails, the plain model is run, one picture a pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from agent.ablation.split.apart import why_not_together
from agent.ablation.split.left import LeftWays, in_words, is_final
from agent.ablation.split.prepared import Prepared
from agent.ablation.split.trace import CutError
from agent.models.fusing import fold_batchnorm, fused
from agent.models.loaded import LoadedModel, as_logits

SOME = 0.25
"""Up to this share of the output's pixels, rows beat whole maps."""
BATCH = 8
ITEMS = 4
"""Pictures that both ways are timed on, in one batch."""
ROWS, FOLDED, PLAIN = "input-rows", "folded", "plain"


@dataclass(frozen=True, slots=True)
class Way:
    """``run`` (n, C, h, w) -> (n, classes, P), at most ``batch`` pictures at a time; ``parallel``:
    several such batches at once."""

    name: str
    run: Callable[[Tensor], Tensor]
    batch: int
    parallel: bool = False


class WholeModel:
    """One ``model``; ``reader`` for each picture. Must be made and used without gradients.
    ``operations`` is all of it, on its input, None where it is made of others. ``left`` is told of
    what is not used.

    Several pictures go through the folded model in one pass where they are proven to stay apart in
    it (``split.apart``), else one.
    """

    def __init__(self, model: LoadedModel, example: Tensor, left: LeftWays | None = None) -> None:
        self.model = model
        self.left = left or LeftWays()
        self._folded: LoadedModel | None = fused(model)
        self.operations = self._rows(example)
        self.pairs = True  # of patches and pixels, as long as those do not fail
        self._together = not why_not_together(self._folded, example)

    def leave(self, way: str, error: Exception) -> None:
        """``way`` failed where the next one did not: it is not taken again."""
        self.left.leave(way, error)
        if way == FOLDED:
            self._folded = None
        elif way == ROWS:
            self.operations = None
        else:
            self.pairs = False

    def reader(
        self, case: Case, pixels: Tensor, targets: Sequence[Target], count: int | None = None
    ) -> Reader:
        """Reads logits on ``pixels`` (h, w) bool of changed copies of a picture, so many where
        their ``count`` is known."""
        seen = view(pixels, targets)
        need = pixels.cpu().numpy()
        ways: list[Callable[[], Way]] = []
        if self.operations is not None and need.mean() <= SOME:
            ways.append(lambda: self._by_rows(case, need, count))
        if self._folded is not None and self._folded is not self.model:
            batch, folded = BATCH if self._together else 1, self._folded
            ways.append(lambda: Way(FOLDED, _dense(folded, seen), batch))
        ways.append(lambda: Way(PLAIN, _dense(self.model, seen), 1))
        return Reader(self, seen, case, ways)

    def _by_rows(self, case: Case, need: Mask, count: int | None) -> Way:
        assert self.operations is not None
        batch = BATCH if count is None else even_batch(count + 1, BATCH, case.x.device)
        program = _program(self.operations, case.x, need, batch)

        def run(pictures: Tensor) -> Tensor:
            return pixel_logits(self.model, program.run_maps(pictures))

        return Way(ROWS, run, batch, parallel=True)

    def _rows(self, example: Tensor) -> list[Operation] | None:
        """The model in rows, where it gives the plain model's logits on ``example`` and takes no
        longer for a small region than the folded model does for the whole, else None."""
        if not self.model.batchable:
            return None
        assert self._folded is not None
        why: str | Exception | None
        try:
            operations = whole_model_operations(self.model, example)
            why = _different(self.model, operations, example)
            if why is None:
                why = _slower(operations, self._folded, example)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not cost the explanation
            why = error
        if why is None:
            return operations
        self.left.leave(ROWS, why, event="input_rows_unused", model=self.model.name)
        return None


def _dense(model: LoadedModel, seen: View) -> Callable[[Tensor], Tensor]:
    def run(pictures: Tensor) -> Tensor:
        batch = pictures.contiguous(memory_format=torch.channels_last)
        size = (pictures.shape[2], pictures.shape[3])
        return seen.of(as_logits(model, model.module(batch), size))

    return run


class Reader:
    """Changed copies of one picture, read on the P pixels of ``seen``, by the first of some
    ``ways`` that gives the plain model's logits for the picture as it is; the last is that model.
    """

    def __init__(
        self, owner: WholeModel, seen: View, case: Case, ways: Sequence[Callable[[], Way]]
    ) -> None:
        self.seen = seen
        self._owner, self._case, self._ways = owner, case, list(ways)
        self._way: Way | None = None
        self._base: Tensor | None = None

    @property
    def base(self) -> Tensor:
        """(1, classes, P) of the picture as it is, by the way of the last ``run``, so that both
        sides of every difference have it."""
        assert self._base is not None
        return self._base

    def run(self, pictures: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, classes, P).

        A way that fails is left for the next, and so is one that does not pass the null control:
        the unchanged picture goes ahead of its first pictures. What the last raises is raised.
        """
        faults: list[tuple[str, Exception]] = []
        while True:
            name = ROWS
            try:
                way = self._way or self._ways[0]()
                name = way.name
                found = self._by(way, pictures)
            except Exception as error:
                if is_final(error) or len(self._ways) == 1:
                    raise
                faults.append((name, error))
                self._ways.pop(0)
                self._way = self._base = None
                continue
            for left, fault in faults:
                self._owner.leave(left, fault)
            return found

    def _by(self, way: Way, pictures: Tensor) -> Tensor:
        first = self._base is None
        if first:
            pictures = torch.cat((self._case.x, pictures))
        parts = list(torch.split(pictures, way.batch))
        if way.parallel:
            runs = in_parallel(way.run, parts, pictures.device)
            found = torch.cat([rows for _, rows in runs])
        else:
            found = torch.cat([way.run(part) for part in parts])
        if not first:
            return found
        head = self._owner.model.head
        controls.null_control(head, self._case.logits, found[:1], self.seen)
        self._way, self._base = way, found[:1]
        return found[1:]


def whole_model_operations(model: LoadedModel, x: Tensor) -> list[Operation]:
    """The whole model as operations on its input (1, C, h, w); ``CutError`` where it is made of
    others, or torch.fx cannot follow it."""
    try:
        graph, _ = fold_batchnorm(model.module)
    except Exception as error:  # a foreign forward under a tracer may raise anything
        raise CutError(f"not traceable: {in_words(error)}") from error
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


def _different(model: LoadedModel, operations: list[Operation], example: Tensor) -> str | None:
    """By how much rows differ from the plain model on some pixels; None where they do not."""
    need = np.random.default_rng(0).random(tuple(example.shape[2:])) < 0.01
    need[0], need[:, -1] = True, True
    program = _program(operations, example, need, 1)
    found = pixel_logits(model, program.run_maps(example))
    plain = as_logits(model, model.module(example), (example.shape[2], example.shape[3]))
    off = excess(model.head, found, plain, torch.from_numpy(need).to(example.device))
    return None if off is None else f"off by {off[0]:.3g}, allowed {off[1]:.3g}"
