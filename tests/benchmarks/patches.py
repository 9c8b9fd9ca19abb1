"""A patch slid over the input: Pitwatch and captum."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from agent.ablation.run.whole_model import WholeModel
from tests.benchmarks import ours, theirs
from tests.benchmarks.cases import Bench, bench
from tests.benchmarks.measuring import against, ratio, took
from tests.benchmarks.roofline import one_thread_gflop, operations
from tests.benchmarks.tables import Cells, DisagreementError, Row, Table

SIZE, SIDE, STRIDE, BATCH = 192, 16, 8, 8
APART = 16
"""Stride of captum's windows where running all of them would take minutes: its time is that of one
window times their number. There the maps are compared at this stride."""
BAR, TOLERANCE = 30.0, 1e-5


def table(quick: bool) -> Table:
    widths = (8,) if quick else (8, 32)
    return Table(
        f"A patch of {SIDE} px at a stride of {STRIDE} px over an input of {SIZE} px, sum of "
        "logits of a thin region (6 %)",
        (
            "case",
            "captum s",
            "Pitwatch s",
            "ratio",
            "GFLOP: captum / Pitwatch",
            "largest difference",
            "error to float64: captum",
            "Pitwatch",
            "bar",
        ),
        [Row(f"{width} features", partial(_row, width)) for width in widths],
    )


def _row(features: int) -> Cells:
    found = bench(features, SIZE)
    with torch.no_grad():
        whole_model = WholeModel(found.model, found.x)
    ours.patches(whole_model, found, SIDE, SIDE)  # kernels are compiled once a process
    mine, own = took(lambda: ours.patches(whole_model, found, SIDE, STRIDE))
    stride = STRIDE if features == 8 else APART
    his, theirs_found = took(lambda: theirs.occlusion(found, SIDE, stride, BATCH))
    if stride != STRIDE:
        his = his.times(_windows(STRIDE) / _windows(stride))
        own = ours.patches(whole_model, found, SIDE, stride)
    difference = _largest(own, theirs_found)
    if not difference <= 1e-4:
        raise DisagreementError(f"the maps differ by {difference:.2g} of the largest drop")
    exact = _exact(found, stride)
    error = _largest(own, exact)
    return (
        f"{his.wall_s:.1f}",
        f"{mine.wall_s:.2f}",
        ratio(his, mine),
        operations(
            _windows(STRIDE) * one_thread_gflop(lambda: found.model.module(found.x)),
            one_thread_gflop(lambda: ours.patches(whole_model, found, SIDE, STRIDE)),
        ),
        f"{difference:.1e}",
        f"{_largest(theirs_found, exact):.1e}",
        f"{error:.1e}",
        f"ratio {against(his.wall_s / mine.wall_s, BAR, at_least=True)}; error "
        f"{against(error, TOLERANCE, at_least=False)}",
    )


def _exact(found: Bench, stride: int) -> NDArray[np.float32]:
    """The peer's map of the same network in float64."""
    module = found.model.module
    module.double()
    try:
        return theirs.occlusion(replace(found, x=found.x.double()), SIDE, stride, BATCH)
    finally:
        module.float()


def _largest(some: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.abs(some - expected).max() / np.abs(expected).max())


def _windows(stride: int) -> int:
    return ((SIZE - SIDE) // stride + 1) ** 2
