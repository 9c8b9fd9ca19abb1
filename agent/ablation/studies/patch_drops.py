"""What each patch on the input costs a score that reads the regions M alone: the fast way.

Only what a patch reaches and M can see is run again (``program``), where the model is made of local
operations; else the whole model is, read on M. The controls are those of every explanation: an item
that hides nothing goes through the pairs of every other one and must give the plain model's logits,
and one random patch is run again through the plain model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.core.case import Case
from agent.ablation.core.effects import View, view
from agent.ablation.core.regions import Mask
from agent.ablation.core.scores import Target
from agent.ablation.rows.parallel_batches import in_parallel
from agent.ablation.rows.patches import Box, PatchProgram
from agent.ablation.run.batching import Tick, pixel_logits
from agent.ablation.run.controls import null_control
from agent.ablation.run.fills import check_hidden, hidden_runs
from agent.ablation.run.whole_model import WholeModel
from agent.ablation.split.left import is_final
from agent.ablation.split.trace import CutError
from agent.models.loaded import LoadedModel

BATCH = 32
PAIRS = "patch-pairs"


def patch_drops(
    whole_model: WholeModel,
    case: Case,
    targets: Sequence[Target],
    places: Sequence[Box],
    instead: NDArray[np.float32],
    tick: Tick,
) -> NDArray[np.float64]:
    """(targets, places): the drop of each score where a box inside the aperture shows ``instead``
    (C, h, w). No target's score may read every pixel, as a Dice does.

    ``tick`` comes before each batch. Raises what the controls raise.
    """
    pixels = torch.stack([t.region for t in targets]).any(0)
    with torch.no_grad():
        fault: Exception | None = None
        try:
            program = _patch_program(whole_model, case, pixels)
            if program is not None:
                seen = view(pixels, targets)
                return _by_pairs(whole_model.model, case, program, seen, places, instead, tick)
        except Exception as error:
            if is_final(error):
                raise
            fault = error
        reader = whole_model.reader(case, pixels, targets)
        masks = (box_mask(case.aperture, box) for box in places)
        runs = hidden_runs(reader, case, masks, instead, tick)
        found = _read(((reader.base, rows) for rows in runs), reader.seen)
    if fault is not None:
        whole_model.leave(PAIRS, fault)
    return found


def _by_pairs(
    model: LoadedModel,
    case: Case,
    program: PatchProgram,
    seen: View,
    places: Sequence[Box],
    instead: NDArray[np.float32],
    tick: Tick,
) -> NDArray[np.float64]:
    inside = torch.from_numpy(case.aperture).to(case.x.device)
    other = torch.where(inside, torch.from_numpy(instead).to(case.x), case.x[0])
    found = _read(_run_patches(model, case, program, seen, places, other, tick), seen)
    spot = case.spot(len(places))
    name = f"the patch at {places[spot][1]}, {places[spot][0]}"
    hidden = box_mask(case.aperture, places[spot])
    drops = found[:, spot].tolist()
    check_hidden(model, case, seen, hidden, instead, name, drops)
    return found


def _patch_program(whole_model: WholeModel, case: Case, pixels: Tensor) -> PatchProgram | None:
    """None where the model is not made of operations that have pairs, or those failed before."""
    if whole_model.operations is None or not whole_model.pairs:
        return None
    try:
        return PatchProgram(whole_model.operations, case.x, pixels.cpu().numpy())
    except CutError:
        return None


def _run_patches(
    model: LoadedModel,
    case: Case,
    program: PatchProgram,
    seen: View,
    places: Sequence[Box],
    instead: Tensor,
    tick: Tick,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The base and the logits of each batch, the former checked first."""
    base = pixel_logits(model, program.base)
    null = pixel_logits(model, program.run(places[:1], case.x[0]))
    for rows in (base, null):
        null_control(model.head, case.logits, rows, seen)

    def run(part: Sequence[Box]) -> Tensor:
        return pixel_logits(model, program.run(part, instead))

    parts = [places[i : i + BATCH] for i in range(0, len(places), BATCH)]
    tick()
    for number, (_, rows) in enumerate(in_parallel(run, parts, case.x.device), 1):
        yield base, rows
        if number < len(parts):
            tick()


def _read(runs: Iterator[tuple[Tensor, Tensor]], seen: View) -> NDArray[np.float64]:
    found = [
        torch.stack([t.score.drop(base[0], rows, t) for t in seen.targets]).cpu().numpy()
        for base, rows in runs
    ]
    return np.concatenate(found, axis=1)


def box_mask(aperture: Mask, box: Box) -> Mask:
    """(h, w) bool: the pixels of a box."""
    out = np.zeros_like(aperture)
    out[box[0] : box[2], box[1] : box[3]] = True
    return out
