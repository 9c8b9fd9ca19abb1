"""Models that others made: the way they are run, beside a plain re-run with a hook."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from agent.ablation.core.perturbation import Item, channel, replaced
from agent.ablation.rows.program import Program
from agent.ablation.rows.shared import Shared
from agent.ablation.run.batching import pixel_logits
from agent.ablation.run.fast_path import build_fast_path
from agent.ablation.split.split import HookSplit, Prepared, Split, build_split
from agent.models.checks import probe_batch
from agent.models.loaded import LoadedModel, as_logits
from tests.ablation.networks import bar_and_disc, loaded
from tests.ablation.split.test_foreign_models import MODELS, spread
from tests.benchmarks.measuring import Took, against, median, ratio, took
from tests.benchmarks.tables import Cells, DisagreementError, Row, Table
from tests.support.peers import peer

SIZE, ITEMS = 192, 4


def table(quick: bool) -> Table:
    return Table(
        f"Models that others made, {SIZE} px, {ITEMS} channels a batch, ms an item",
        ("model", "layer", "way", "plain re-run ms", "Pitwatch ms", "ratio", "difference", "bar"),
        [Row(name, partial(_row, name)) for name in list(MODELS)[: 2 if quick else None]],
    )


def _row(model_name: str) -> Cells:
    package, make, layer, key = MODELS[model_name]
    torch.manual_seed(0)
    model = loaded(spread(make(peer(package))), layer, SIZE, output_key=key)
    items = [channel(k) for k in range(ITEMS)]
    own: list[Took] = []
    other: list[Took] = []
    with torch.no_grad():
        x = probe_batch(model)[:1]
        way, plain = build_split(model, layer, x), HookSplit(model, layer)
        prepared = way.prefix(x)
        baseline = torch.zeros_like(prepared.activation[:, :, :1, :1])
        layout = build_fast_path(model, layer, way, x, baseline)
        need, name = bar_and_disc(SIZE) > 0, way.name
        if layout is None:
            ours = partial(_general, model, way, prepared, items)
        else:
            name += "+rows"
            program = Program(Shared(layout, prepared, baseline), need, ITEMS, single=True)
            ours = partial(program.run_channels, range(ITEMS))
        ours()
        for _ in range(3):
            one, found = took(ours)
            own.append(one.times(1000 / ITEMS))
            one, theirs = took(lambda: [plain.rerun(x, item, baseline) for item in items])
            other.append(one.times(1000 / ITEMS))
        expected = torch.cat([as_logits(model, one) for one in theirs])
        if layout is not None:
            found = pixel_logits(model, found)
            expected = expected.flatten(2)[:, :, torch.from_numpy(np.flatnonzero(need))]
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= 1e-4:
        raise DisagreementError(f"{name} is off by {difference:.2g} of the largest logit")
    mine, his = median(own), median(other)
    return (
        layer,
        name,
        f"{his.wall_s:.0f}",
        f"{mine.wall_s:.0f}",
        ratio(his, mine),
        f"{difference:.1e}",
        f"ratio {against(his.wall_s / mine.wall_s, 1, at_least=True)}",
    )


def _general(model: LoadedModel, way: Split, prepared: Prepared, items: list[Item]) -> Tensor:
    """(n, classes, h, w) logits by the general second layout."""
    baseline = torch.zeros_like(prepared.activation[:, :, :1, :1])
    maps = replaced(prepared.activation, baseline, items)
    return as_logits(model, way.suffix(maps, prepared))
