"""Models that others made: the way they are run, beside a plain re-run with a hook."""

from __future__ import annotations

from functools import partial

import torch

from agent.ablation.masking import channel, replaced
from agent.ablation.picture import random_input
from agent.ablation.split import HookSplit, build_split
from agent.models.loaded import as_logits
from tests.ablation.networks import loaded
from tests.ablation.test_foreign_models import MODELS, spread
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


def _row(name: str) -> Cells:
    package, make, layer, key = MODELS[name]
    torch.manual_seed(0)
    model = loaded(spread(make(peer(package))), layer, SIZE, output_key=key)
    items = [channel(k) for k in range(ITEMS)]
    own: list[Took] = []
    other: list[Took] = []
    with torch.no_grad():
        x = random_input(model)
        way, plain = build_split(model, layer, x), HookSplit(model, layer)
        prepared = way.prefix(x)
        baseline = torch.zeros_like(prepared.activation[:, :, :1, :1])
        for _ in range(3):
            one, ours = took(
                lambda: way.suffix(replaced(prepared.activation, baseline, items), prepared)
            )
            own.append(one.times(1000 / ITEMS))
            one, theirs = took(lambda: [plain.rerun(x, item, baseline) for item in items])
            other.append(one.times(1000 / ITEMS))
        found = as_logits(model, ours)
        expected = torch.cat([as_logits(model, one) for one in theirs])
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= 1e-4:
        raise DisagreementError(f"{way.name} is off by {difference:.2g} of the largest logit")
    mine, his = median(own), median(other)
    return (
        layer,
        way.name,
        f"{his.wall_s:.0f}",
        f"{mine.wall_s:.0f}",
        ratio(his, mine),
        f"{difference:.1e}",
        f"ratio {against(his.wall_s / mine.wall_s, 1, at_least=True)}",
    )
