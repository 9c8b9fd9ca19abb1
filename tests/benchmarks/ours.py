"""Pitwatch's side: the parts of an explanation one by one, as the engine runs them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from agent import config
from agent.ablation.core import plan
from agent.ablation.engine import Engine, Tuning
from agent.ablation.run.fills import Fill
from agent.ablation.run.job import Job
from agent.ablation.run.whole_model import WholeModel
from agent.ablation.studies.patches import PatchSettings, patch_maps
from agent.config import Score
from agent.records import Rung
from tests.benchmarks.cases import LAYER, Bench


def engine(bench: Bench, kind: Score = Score.LOGIT_SUM) -> Engine:
    settings = config.Ablation(classes=("suture",), score=kind, fractions=(1.0,))
    return Engine(bench.model, settings, LAYER, Tuning(batch=4))


def channels(made: Engine, bench: Bench, kind: Score = Score.LOGIT_SUM) -> NDArray[np.float64]:
    """The drop of every channel, with the live forward, the first half and the null control: all
    that a map needs, as the peers' calls have it."""
    with torch.no_grad():
        case = bench.case()
        job = Job(
            made._setup, case, [bench.target(case, kind)], Rung.EXACT, np.random.default_rng(0)
        )
        if made.path == "fx+rows":
            runner = job._runners.channels(bench.depth)
        else:
            controls = plan.controls(job.activation.shape[2:])
            runner = job._runners.wide(len(controls))
            job._run_items(runner, controls)
        job._run_items(runner, plan.channels(range(bench.depth)))
    return np.asarray(job.ledger.deltas[0])


def patches(whole_model: WholeModel, bench: Bench, side: int, stride: int) -> NDArray[np.float32]:
    """(h, w): the mean drop per pixel under a sliding patch that hides it by zero."""
    settings = PatchSettings(side, stride, Fill.ZERO, dice=False)
    with torch.no_grad():
        case = bench.case()
        (found,) = patch_maps(whole_model, case, [bench.target(case)], settings, lambda: None)
    return found.drop
