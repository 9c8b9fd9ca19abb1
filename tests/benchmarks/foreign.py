"""Models that others made: the way they are run, beside a plain re-run with a hook."""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch

from agent.ablation.masking import channel, replaced
from agent.ablation.picture import random_input
from agent.ablation.split import HookSplit, build_split
from agent.models.loaded import as_logits
from tests.ablation.networks import loaded
from tests.ablation.test_foreign_models import MODELS, spread
from tests.support.peers import peer

SIZE, ITEMS = 192, 4


def table(quick: bool) -> list[str]:
    out = [
        f"Models that others made, {SIZE} px, {ITEMS} channels a batch, seconds an item:",
        "",
        "| model | layer | way | plain re-run s | Pitwatch s | ratio | largest difference |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in list(MODELS)[: 2 if quick else None]:
        out.append(_row(name))
        print(out[-1], flush=True)
    return out


def _row(name: str) -> str:
    package, make, layer, key = MODELS[name]
    torch.manual_seed(0)
    model = loaded(spread(make(peer(package))), layer, SIZE, output_key=key)
    items = [channel(k) for k in range(ITEMS)]
    with torch.no_grad():
        x = random_input(model)
        way, plain = build_split(model, layer, x), HookSplit(model, layer)
        prepared = way.prefix(x)
        baseline = torch.zeros_like(prepared.activation[:, :, :1, :1])
        times: list[list[float]] = [[], []]
        for _ in range(3):
            started = time.perf_counter()
            ours = way.suffix(replaced(prepared.activation, baseline, items), prepared)
            times[0].append(time.perf_counter() - started)
            started = time.perf_counter()
            theirs = [plain.rerun(x, item, baseline) for item in items]
            times[1].append(time.perf_counter() - started)
        found = as_logits(model, ours)
        expected = torch.cat([as_logits(model, one) for one in theirs])
    own, other = (statistics.median(t) / ITEMS for t in times)
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= 1e-4:
        raise SystemExit(f"{name}: {way.name} is off by {difference:.2g} of the largest logit")
    assert np.isfinite(difference)
    return (
        f"| {name} | {layer} | {way.name} | {other:.3f} | {own:.3f} | **{other / own:.1f}** | "
        f"{difference:.1e} |"
    )
