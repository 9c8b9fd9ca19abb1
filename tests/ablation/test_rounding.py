"""What the engine promises of its rounding: its drops err no more than plain float32 re-runs do.

Which of two sums in float32 lands nearer is chance, so that no single drop can be held to this: the
errors of all drops of several networks are, together.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from agent import config
from agent.ablation.core.case import load_case, target
from agent.ablation.core.focus import box
from agent.ablation.core.perturbation import channel
from agent.ablation.core.scores import score_named
from agent.ablation.engine import Engine, Tuning
from agent.ablation.rows import products, winograd
from agent.ablation.split.split import HookSplit
from agent.config import Score
from tests.ablation.networks import UNET_LAYER, picture, unet

SIDE, SEEDS = 48, range(8)
SCORES = (Score.MARGIN, Score.LOGIT_SUM)
CHANCE = 1.15
"""A geometric mean of so many ratios of errors is known this well."""
RERUNS = 32
"""Channels of each network that are re-run, at random: the error is a mean over them."""


def error(found, exact):
    """(scores, channels): root mean square of the error, as a share of the largest drop."""
    return np.sqrt(((found - exact) ** 2).mean(1)) / np.abs(exact).max(1)


@contextmanager
def remembered(module: torch.nn.Module, layer: str, x: torch.Tensor) -> Iterator[None]:
    """Inside, all that runs before ``layer``, and the layer, hand out again what they made of
    ``x``: of many re-runs that differ behind it, what is before it is computed once."""
    made = []
    hooks = [
        leaf.register_forward_hook(lambda leaf, _given, output: made.append((leaf, output)))
        for leaf in module.modules()
        if not list(leaf.children())
    ]
    module(x)
    for hook in hooks:
        hook.remove()
    last = [leaf for leaf, _ in made].index(module.get_submodule(layer))
    for leaf, output in made[: last + 1]:
        leaf.forward = lambda _given, output=output: output
    try:
        yield
    finally:
        for leaf, _ in made[: last + 1]:
            del leaf.forward


def chosen(seed, depth):
    """The channels of a network that are re-run."""
    return np.sort(np.random.default_rng(seed).choice(depth, RERUNS, replace=False))


def plain_drops(model, case, wanted, channels, depth):
    """One re-run of the plain model for each of ``channels``, with a hook, in the precision of
    ``case``."""
    plain, zero = HookSplit(model, UNET_LAYER), torch.zeros(1, depth, 1, 1).to(case.x)
    base = model.module(case.x)
    whole = plain.rerun(case.x, channel(0), zero)
    found = []
    with remembered(model.module, UNET_LAYER, case.x):
        assert torch.equal(plain.rerun(case.x, channel(0), zero), whole)
        for k in channels:
            again = plain.rerun(case.x, channel(int(k)), zero)
            found.append([float(t.score.drop(base[0], again, t)[0]) for t in wanted])
    return np.array(found).T


def network(seed, features):
    return unet(SIDE, features, seed), box(0, SIDE // 2 - 3, SIDE, 6)


@cache
def references(seed, features):
    """(scores, RERUNS) drops of plain re-runs: in float32, and in float64, which is exact."""
    model, region = network(seed, features)
    with torch.no_grad():
        case = load_case(model, picture(SIDE), None, region)
        wanted = [target(model, case, "suture", score_named(kind)) for kind in SCORES]
        depth = 8 * features  # of the fourth level
        channels = chosen(seed, depth)
        plain = plain_drops(model, case, wanted, channels, depth)
        wide = replace(model, module=copy.deepcopy(model.module).double())
        exact = plain_drops(wide, replace(case, x=case.x.double()), wanted, channels, depth)
        return plain, exact


def ratios(seed, features=8):
    """By score: the engine's error to float64 over that of plain float32 re-runs."""
    model, region = network(seed, features)
    settings = config.Ablation(classes=("suture",), fractions=(1.0,))
    engine = Engine(model, settings, UNET_LAYER, Tuning(batch=4, clock=lambda: 0.0))
    assert engine.path == "fx+rows"
    found = engine.explain(picture(SIDE), region=region, scores=SCORES)
    channels = chosen(seed, engine.channels)
    deltas = np.array([found.of("suture", kind).deltas for kind in SCORES])[:, channels]
    plain, exact = references(seed, features)
    assert plain.shape == exact.shape == (len(SCORES), RERUNS)
    return error(deltas, exact) / error(plain, exact)


@pytest.mark.long
@pytest.mark.parametrize("onednn", [True, False], ids=["onednn", "blas"])
def test_drops_err_no_more_than_those_of_plain_reruns(monkeypatch, onednn):
    """With either kind of products: one of the two is what this processor is given."""
    monkeypatch.setattr(products, "onednn_is_faster", lambda: onednn)
    monkeypatch.setattr(winograd, "onednn_is_faster", lambda: onednn)
    found = np.concatenate([ratios(seed) for seed in SEEDS])
    assert np.exp(np.log(found).mean()) <= CHANCE


@pytest.mark.long
def test_nor_do_those_of_wide_networks_whose_sums_are_longer():
    found = np.concatenate([ratios(seed, features=32) for seed in range(2)])
    assert np.exp(np.log(found).mean()) <= CHANCE
