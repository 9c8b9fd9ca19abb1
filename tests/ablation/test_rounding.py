"""What the engine promises of its rounding: its drops err no more than plain float32 re-runs do.

Which of two sums in float32 lands nearer is chance, so that no single drop can be held to this: the
errors of all drops of several networks are, together.
"""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from agent import config
from agent.ablation.core import scores
from agent.ablation.core.case import load_case, target
from agent.ablation.core.focus import box
from agent.ablation.core.perturbation import channel
from agent.ablation.engine import Engine, Tuning
from agent.ablation.rows import products, winograd
from agent.ablation.run.controls import plain_rerun
from agent.ablation.split.split import HookSplit
from agent.config import Score
from tests.ablation.networks import UNET_LAYER, picture, unet

SIDE, SEEDS = 48, range(8)
SCORES = (Score.MARGIN, Score.LOGIT_SUM)
CHANCE = 1.15
"""A geometric mean of so many ratios of errors is known this well."""


def error(found, exact):
    """(scores, channels): root mean square of the error, as a share of the largest drop."""
    return np.sqrt(((found - exact) ** 2).mean(1)) / np.abs(exact).max(1)


def plain_drops(model, case, wanted, depth):
    """One re-run of the plain model for each channel, with a hook, in the precision of ``case``."""
    plain, zero = HookSplit(model, UNET_LAYER), torch.zeros(1, depth, 1, 1).to(case.x)
    base = model.module(case.x)
    found = []
    for k in range(depth):
        again = plain_rerun(model, plain, case.x, channel(k), zero)
        found.append(
            [
                float(scores.drop(t.kind, base[0], again, t.index, t.region, t.prediction)[0])
                for t in wanted
            ]
        )
    return np.array(found).T


def ratios(seed, features=8):
    """By score: the engine's error to float64 over that of plain float32 re-runs."""
    model, region = unet(SIDE, features, seed), box(0, SIDE // 2 - 3, SIDE, 6)
    settings = config.Ablation(classes=("suture",), fractions=(1.0,))
    engine = Engine(model, settings, UNET_LAYER, Tuning(batch=4, clock=lambda: 0.0))
    assert engine.path == "fx+rows"
    found = engine.explain(picture(SIDE), region=region, scores=SCORES)
    deltas = np.array([found.of("suture", kind).deltas for kind in SCORES])
    with torch.no_grad():
        case = load_case(model, picture(SIDE), None, region)
        wanted = [target(model, case, "suture", kind) for kind in SCORES]
        plain = plain_drops(model, case, wanted, engine.channels)
        wide = replace(model, module=copy.deepcopy(model.module).double())
        double = replace(case, x=case.x.double())
        exact = plain_drops(wide, double, wanted, engine.channels)
    return error(deltas, exact) / error(plain, exact)


@pytest.mark.parametrize("onednn", [None, True, False], ids=["chosen", "onednn", "blas"])
def test_drops_err_no_more_than_those_of_plain_reruns(monkeypatch, onednn):
    """With the products that are taken on this processor, and with either kind."""
    if onednn is not None:
        monkeypatch.setattr(products, "onednn_is_faster", lambda: onednn)
        monkeypatch.setattr(winograd, "onednn_is_faster", lambda: onednn)
    found = np.concatenate([ratios(seed) for seed in SEEDS])
    assert np.exp(np.log(found).mean()) <= CHANCE


def test_nor_do_those_of_wide_networks_whose_sums_are_longer():
    found = np.concatenate([ratios(seed, features=32) for seed in range(3)])
    assert np.exp(np.log(found).mean()) <= CHANCE
