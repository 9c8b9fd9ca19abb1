"""Whether a model has the fast path for its channels: built, and compared with plain re-runs."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from agent.ablation.core import timing
from agent.ablation.core.perturbation import NULL, Item, channel, replaced
from agent.ablation.core.tolerance import excess
from agent.ablation.rows import ops
from agent.ablation.rows.operation import Operation
from agent.ablation.rows.program import Program
from agent.ablation.rows.shared import Shared
from agent.ablation.run.batching import pixel_logits
from agent.ablation.split.left import LeftWays
from agent.ablation.split.split import FxSplit, HookSplit, Split
from agent.models.loaded import LoadedModel
from agent.telemetry import Clock

ITEMS = 8
"""Channels that both ways are timed on, in one batch."""


def build_fast_path(
    model: LoadedModel,
    layer: str,
    split: Split,
    example: Tensor,
    baseline: Tensor,
    clock: Clock = time.perf_counter,
    left: LeftWays | None = None,
) -> list[Operation] | None:
    """The fast path of a cut model where it agrees with hook re-runs on ``example`` and takes no
    longer for channels than the general way, else None: whatever is wrong with it, ``left`` is
    told."""
    if not isinstance(split, FxSplit):
        return None
    why: str | Exception | None
    try:
        prepared = split.prefix(example)
        operations = ops.operations(split.after, model.output_key, prepared)
        why = _compare(model, layer, split, operations, example, baseline)
        if why is None:
            why = _slower(split, Shared(operations, prepared, baseline), clock)
    except Exception as error:  # noqa: BLE001 - a fault of ours must not cost the explanation
        why = error
    if why is None:
        return operations
    (left or LeftWays()).leave("rows", why, event="ablation_rows_unused", layer=layer)
    return None


def _slower(split: FxSplit, shared: Shared, clock: Clock) -> str | None:
    """Timed on a few channels and a small region."""
    prepared = shared.prepared
    numbers = list(range(min(ITEMS, int(prepared.activation.shape[1]))))
    need = timing.small_region(prepared.size)
    program = Program(shared, need, len(numbers), single=True)
    items = [channel(number) for number in numbers]

    def general() -> object:
        return split.suffix(replaced(prepared.activation, shared.baseline, items), prepared)

    device = prepared.activation.device
    return timing.slower(lambda: program.run_channels(numbers), general, device, clock)


def _compare(
    model: LoadedModel,
    layer: str,
    split: FxSplit,
    operations: list[Operation],
    example: Tensor,
    baseline: Tensor,
) -> str | None:
    """The null item and three channels on a corner, an edge and scattered pixels; None if equal."""
    prepared = split.prefix(example)
    height, width = prepared.size
    need = np.random.default_rng(0).random((height, width)) < 0.01
    need[: max(1, height // 8), : max(1, width // 8)] = True
    need[height // 2, :] = True
    depth = int(prepared.activation.shape[1])
    channels = [-1, 0, depth // 2, depth - 1]
    shared = Shared(operations, prepared, baseline)
    found = pixel_logits(
        model, Program(shared, need, len(channels), single=True).run_channels(channels)
    )
    maps = replaced(prepared.activation, baseline, [_item(number) for number in channels])
    everywhere = np.ones((height, width), np.bool_)
    whole = Program(shared, everywhere, len(channels), single=False).run_maps(maps)
    pixels = torch.from_numpy(need).to(example.device)
    wide = pixel_logits(model, whole)[:, :, pixels.flatten()]
    plain = HookSplit(model, layer)
    for place, number in enumerate(channels):
        again = plain.rerun(example, _item(number), baseline)
        for way, rows in (("alone", found), ("in its map", wide)):
            off = excess(model.head, rows[place : place + 1], again, pixels)
            if off is not None:
                return f"channel {number} {way} is off by {off[0]:.3g}, allowed {off[1]:.3g}"
    return None


def _item(number: int) -> Item:
    return NULL if number < 0 else channel(number)
