"""Scores that read the whole picture, and occlusion of the input."""

from __future__ import annotations

import time

import numpy as np
import torch

from agent.config import Score
from tests.benchmarks import ours, theirs
from tests.benchmarks.cases import bench

SIDE, STRIDE, COARSE, BATCH = 16, 8, 48, 8


def table(quick: bool) -> list[str]:
    return [*_dice(), "", *_occlusion((8,) if quick else (8, 32))]


def _dice() -> list[str]:
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


def _occlusion(widths: tuple[int, ...]) -> list[str]:
    out = [
        "A patch of 16 px at a stride of 8 px over the input, the sum of logits of the region:",
        "",
        "| case | captum s | Pitwatch s | ratio | largest difference |",
        "| --- | --- | --- | --- | --- |",
    ]
    for features in widths:
        found = bench(features, 192)
        count = ((found.size - SIDE) // STRIDE + 1) ** 2
        few = (-((SIDE - found.size) // COARSE) + 1) ** 2
        started = time.perf_counter()
        own = ours.patches(found)
        seconds = time.perf_counter() - started
        if features == 8:  # all windows, compared pixel by pixel
            started = time.perf_counter()
            expected = theirs.occlusion(found, SIDE, STRIDE, BATCH)
            peer = time.perf_counter() - started
            difference = float(np.abs(own - expected).max() / np.abs(expected).max())
            if not difference <= 1e-3:
                raise SystemExit(f"{found.name}: the sides differ by {difference:.2g}")
            shown = f"{difference:.1e}"
        else:
            started = time.perf_counter()
            theirs.occlusion(found, SIDE, COARSE, BATCH)
            peer, shown = (time.perf_counter() - started) / few * count, "(some windows run)"
        out.append(
            f"| {found.name} | {peer:.1f} | {seconds:.1f} | **{peer / seconds:.1f}** | {shown} |"
        )
        print(out[-1], flush=True)
    return out
