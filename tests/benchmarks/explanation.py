"""What every explanation of the shipped model has, on one thread, method by method."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from agent import config
from agent.ablation.core.case import Case, load_case, target
from agent.ablation.core.plan import METHOD_INPUT
from agent.ablation.core.scores import Target
from agent.ablation.engine import Engine
from agent.ablation.result import EngineResult
from agent.ablation.run.input_occlusion import InputSensitivity
from agent.models.loading import load_model
from agent.simulator.render import Render, Renderer
from tests.benchmarks.measuring import Took, against, median, took
from tests.benchmarks.roofline import gflop, most_gflop_s
from tests.benchmarks.tables import Cells, Row, Table

BAR_MS = 107.0
FRUIT = 500
"""Seed of a simulated fruit whose suture and stem are both found."""


def table(quick: bool) -> Table:
    repeats = 2 if quick else 9
    return Table(
        "Everything that each explanation has, shipped model, both classes, exact, one thread",
        (
            "case",
            "ms",
            "processor ms",
            "ms by method",
            "GFLOP",
            "ms at the best speed of the library's convolutions",
            "largest spot error",
            "bar",
        ),
        [
            Row("as it runs by default", partial(_row, repeats, config.Ablation(), False)),
            Row(
                "regions at 100 % only, without the occlusion of the input",
                partial(_row, repeats, config.Ablation(fractions=(1.0,)), True),
            ),
        ],
    )


def _row(repeats: int, settings: config.Ablation, layer_only: bool) -> Cells:
    """``layer_only``: what the bar counts. The occlusion of the input, which every explanation has
    as well, is taken off its time and its operations."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        engine = Engine(load_model(config.Model()), settings)
        fruit = Renderer(256).fruit(FRUIT)

        def explained() -> EngineResult:
            return engine.explain(fruit.image, fruit.aperture)

        explained()  # kernels are compiled once a process
        work = gflop(explained)
        if layer_only:
            work -= _gflop_of_input(engine, fruit)
        found: list[Took] = []
        spent = _watched(engine)
        for _ in range(repeats):
            spent.clear()
            one, result = took(explained)
            off = spent[0] if layer_only else Took(0.0, 0.0)
            found.append(Took(one.wall_s - off.wall_s, one.cpu_s - off.cpu_s))
        most = most_gflop_s()
    finally:
        torch.set_num_threads(threads)
    middle = median(found)
    methods = ", ".join(
        f"{k} {1000 * v:.0f}"
        for k, v in result.seconds_by_method.items()
        if not (layer_only and k == METHOD_INPUT)
    )
    return (
        f"{1000 * middle.wall_s:.0f}",
        f"{1000 * middle.cpu_s:.0f}",
        f"{methods} (last run)",
        f"{work:.1f}",
        f"{1000 * work / most:.0f} (at {most:.0f} GFLOP/s)",
        f"{max(one.spot_error for one in result.classes):.1e}",
        f"ms {against(1000 * middle.wall_s, BAR_MS, at_least=False)}" if layer_only else "",
    )


def _watched(engine: Engine) -> list[Took]:
    """What each occlusion of the input takes from now on."""
    spent: list[Took] = []
    inner = engine._occluded_inputs

    def timed(case: Case, targets: Sequence[Target]) -> dict[str, InputSensitivity]:
        one, found = took(lambda: inner(case, targets))
        spent.append(one)
        return found

    engine._occluded_inputs = timed  # type: ignore[method-assign]
    return spent


def _gflop_of_input(engine: Engine, fruit: Render) -> float:
    """Of the occlusion of the input alone."""
    model = engine.model
    with torch.no_grad():
        case = load_case(model, fruit.image, fruit.aperture, None)
        targets = [target(model, case, name) for name in engine.settings.classes]
        return gflop(lambda: engine._occluded_inputs(case, targets))
