"""Ablation-CAM of every channel: Pitwatch, pytorch-grad-cam and captum."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from agent.config import Score
from tests.benchmarks import ours, theirs
from tests.benchmarks.cases import Bench, bench, plain_drops
from tests.benchmarks.measuring import (
    Took,
    against,
    best,
    median,
    memory_added,
    ratio,
    slope,
    took,
)
from tests.benchmarks.roofline import one_thread_gflop, operations
from tests.benchmarks.tables import Cells, DisagreementError, Row, Table

CASES = ((32, 192), (8, 192), (8, 256), (32, 256))
NETWORKS, JUDGED = 6, 24
"""Random networks, and evenly spread channels of each, whose error is measured: the largest of a
network, and the mean over networks. All deltas of one share the rounding of one base, so that one
network says little: six of 32 features differed by a factor of six."""
THIN, WHOLE = 30.0, 5.0
"""The bars: ratio for a thin region at 32 features and 192 px, and for the whole picture."""


def table(quick: bool) -> Table:
    cases = [(8, 192)] if quick else CASES
    rows = [Row(_name(*case), partial(_thin, *case, quick)) for case in cases]
    rows.append(Row(f"{_name(8, 192)}, dice_drop (whole picture)", partial(_dice, quick)))
    return Table(
        "Ablation-CAM of every channel, sum of logits over a thin region (6 %) unless said",
        (
            "case",
            "grad-cam s",
            "its setting",
            "captum s",
            "Pitwatch s",
            "ratio",
            "to captum",
            "GFLOP: grad-cam / Pitwatch",
            "error to float64: grad-cam",
            "plain float32",
            "Pitwatch",
            "MiB added",
            "bar",
        ),
        rows,
    )


def _name(features: int, size: int) -> str:
    return f"{features} features, {size} px, {8 * features} channels"


def _thin(features: int, size: int, quick: bool) -> Cells:
    found = bench(features, size)
    made = ours.engine(found)
    added, _ = memory_added(lambda: ours.channels(made, found))
    first = _errors(found)
    if not first[2] <= 2e-5 or not first[0] <= 1e-2:
        raise DisagreementError(f"errors to float64: {first[0]:.1e} and {first[2]:.1e}")
    large = features > 8
    settings = [(b, last) for b in ((8,) if large else (8, 16)) for last in (False, True)]
    trials = {s: slope(partial(_peer, found, s), found.depth) for s in settings}
    setting = next(s for s, one in trials.items() if one is best(list(trials.values())))
    own: list[Took] = []
    peer = [trials[setting]]
    for _ in range(1 if quick or large else 3):
        own.append(took(lambda: ours.channels(made, found))[0])
        peer.append(slope(partial(_peer, found, setting), found.depth))
    other = slope(lambda n: theirs.feature_ablation(found, list(range(n)), 8), found.depth)
    mine, his = median(own), median(peer)
    # After the times: what other networks leave in the allocator's hands slows the peers down.
    others = [_errors(bench(features, size, seed)) for seed in range(1, 2 if quick else NETWORKS)]
    errors = [float(error) for error in np.mean([first, *others], axis=0)]
    return (
        f"{his.wall_s:.1f}",
        f"batch {setting[0]}{', channels last' if setting[1] else ''}",
        f"{other.wall_s:.1f}",
        f"{mine.wall_s:.2f}",
        ratio(his, mine),
        ratio(other, mine),
        _operations(found, lambda: ours.channels(made, found)),
        *(f"{error:.1e}" for error in errors),
        f"{added:.0f}",
        _bars(his.wall_s / mine.wall_s, errors, added) if (features, size) == (32, 192) else "",
    )


def _bars(found: float, errors: list[float], added: float) -> str:
    return (
        f"ratio {against(found, THIN, at_least=True)}; error no larger than that of plain "
        f"float32: {'met' if errors[2] <= errors[1] else 'missed'}; MiB "
        f"{against(added, 100, at_least=False)}"
    )


def _peer(found: Bench, setting: tuple[int, bool], count: int) -> NDArray[np.float64]:
    return theirs.grad_cam(found, list(range(count)), *setting)


def _dice(quick: bool) -> Cells:
    """Both sides run all channels. The peer's own score is a sum of logits, which costs the same
    passes; its numbers are no Dice and are not compared."""
    found = bench(8, 192)
    made = ours.engine(found, Score.DICE_DROP)
    own: list[Took] = []
    peer: list[Took] = []
    for _ in range(1 if quick else 3):
        own.append(took(lambda: ours.channels(made, found, Score.DICE_DROP))[0])
        peer.append(took(lambda: _peer(found, (8, True), found.depth))[0])
    mine, his = median(own), median(peer)
    return (
        f"{his.wall_s:.1f}",
        "batch 8, channels last",
        "",
        f"{mine.wall_s:.2f}",
        ratio(his, mine),
        "",
        _operations(found, lambda: ours.channels(made, found, Score.DICE_DROP)),
        *[""] * 4,
        f"ratio {against(his.wall_s / mine.wall_s, WHOLE, at_least=True)}",
    )


def _operations(found: Bench, own: Callable[[], object]) -> str:
    """The peer runs the whole network once a channel."""
    with torch.no_grad():
        his = found.depth * one_thread_gflop(lambda: found.model.module(found.x))
    return operations(his, one_thread_gflop(own))


def _errors(found: Bench) -> list[float]:
    """Of the peer, of plain float32 re-runs and of Pitwatch."""
    some = list(range(0, found.depth, max(1, found.depth // JUDGED)))
    exact = plain_drops(found, some, torch.float64)
    return [
        _error(theirs.grad_cam(found, some, 8, False), exact),
        _error(plain_drops(found, some, torch.float32), exact),
        _error(ours.channels(ours.engine(found), found)[some], exact),
    ]


def _error(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.abs(found - exact).max() / np.abs(exact).max())
