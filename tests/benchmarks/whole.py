"""Scores that read the whole picture, and occlusion of the input."""

from __future__ import annotations

import time

import numpy as np
import torch

from agent.config import Score
from tests.benchmarks import ours, theirs
from tests.benchmarks.cases import bench


def table(quick: bool) -> list[str]:
    del quick
    found = bench(8, 192)
    made = ours.engine(found, Score.DICE_DROP)
    ours.channels(made, found, Score.DICE_DROP)
    times: list[list[float]] = [[], []]
    for _ in range(3):
        started = time.perf_counter()
        ours.channels(made, found, Score.DICE_DROP)
        times[0].append(time.perf_counter() - started)
        started = time.perf_counter()
        theirs.grad_cam(found, list(range(found.depth)), 8, False)
        times[1].append(time.perf_counter() - started)
    own, peer = (float(np.median(t)) for t in times)
    torch.set_grad_enabled(True)
    return [
        "A score of the whole picture (dice_drop), every channel:",
        "",
        "| case | pytorch-grad-cam s | Pitwatch s | ratio |",
        "| --- | --- | --- | --- |",
        f"| {found.name} | {peer:.2f} | {own:.2f} | **{peer / own:.1f}** |",
    ]
