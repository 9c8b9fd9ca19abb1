"""What every explanation of the shipped model has, on one thread, method by method."""

from __future__ import annotations

from functools import partial

import torch

from agent import config
from agent.ablation.engine import Engine
from agent.models.loading import load_model
from agent.simulator.render import Renderer
from tests.benchmarks.measuring import Took, against, median, took
from tests.benchmarks.tables import Cells, Row, Table

BAR_MS = 107.0
FRUIT = 500
"""Seed of a simulated fruit whose suture and stem are both found."""


def table(quick: bool) -> Table:
    return Table(
        "Everything that each explanation has, shipped model, both classes, exact, one thread",
        ("case", "ms", "processor ms", "ms by method", "largest spot error", "bar"),
        [Row("simulated fruit, 192 px", partial(_row, 2 if quick else 9))],
    )


def _row(repeats: int) -> Cells:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        engine = Engine(load_model(config.Model()), config.Ablation())
        fruit = Renderer(256).fruit(FRUIT)
        engine.explain(fruit.image, fruit.aperture)  # kernels are compiled once a process
        found: list[Took] = []
        for _ in range(repeats):
            one, result = took(lambda: engine.explain(fruit.image, fruit.aperture))
            found.append(one)
    finally:
        torch.set_num_threads(threads)
    middle = median(found)
    methods = ", ".join(f"{k} {1000 * v:.0f}" for k, v in result.seconds_by_method.items())
    return (
        f"{1000 * middle.wall_s:.0f}",
        f"{1000 * middle.cpu_s:.0f}",
        f"{methods} (last run)",
        f"{max(one.spot_error for one in result.classes):.1e}",
        f"ms {against(1000 * middle.wall_s, BAR_MS, at_least=False)}",
    )
