"""Maps of other methods, against plain autograd and against what their definition says."""

import numpy as np
import pytest
import torch
from torch import nn

from agent import config
from agent.ablation.core.errors import AblationError
from agent.ablation.core.ranks import rank_correlation
from agent.ablation.core.scores import class_margin
from agent.ablation.engine import Engine, Tuning
from agent.ablation.studies.methods import (
    ABLATION,
    EIGEN,
    GRAD,
    HIRES,
    INPUT,
    MEAN,
    METHODS,
    RANDOM,
    eigen_map,
)
from agent.ablation.studies.patches import PatchSettings
from agent.ablation.studies.studies import Studies
from agent.config import Score
from tests.ablation.networks import bar_and_disc, loaded, picture, seeded, unet
from tests.support.peers import peer

SIZE = 32


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


class Curved(nn.Module):
    """A layer of the input's own size, and a head that is not linear in it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 6, 3, padding=1)
        self.relu = nn.ReLU()
        self.mix = nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Conv2d(6, 3, 1)

    def forward(self, x):
        return self.head(torch.tanh(self.mix(self.relu(self.features(x)))))


def made(model, score=Score.MARGIN):
    settings = config.Ablation(score=score)
    engine = Engine(model, settings, tuning=Tuning(batch=4))
    size = model.preprocessing.width_px
    wanted = Studies(methods=METHODS, patches=PatchSettings(16, 8, dice=False))
    return engine, engine.explain(picture(size), region=bar_and_disc(size), studies=wanted)


def plain(engine, found, index, score=Score.MARGIN):
    """Maps A and slopes of the score by a hook and autograd alone, (K, gh, gw) float64 each."""
    size = found.mask.shape[0]
    module, kept = engine.model.module, []
    layer = module.get_submodule(engine.layer)

    def keep(_module, _inputs, output):
        kept.append(output.detach().clone().requires_grad_())
        return kept[0]

    handle = layer.register_forward_hook(keep)
    logits = module(torch.from_numpy(found.input)[None])
    handle.remove()
    region = torch.from_numpy(bar_and_disc(size) == index)
    if score is Score.MARGIN:
        y = class_margin(logits, index)[0][region].mean()
    else:
        y = logits[0, index][region].sum()
    (slope,) = torch.autograd.grad(y, kept[0])
    return kept[0][0].detach().double().numpy(), slope[0].double().numpy()


@pytest.mark.parametrize(
    ("network", "score"),
    [("curved", Score.MARGIN), ("curved", Score.LOGIT_SUM), ("unet", Score.MARGIN)],
)
def test_gradient_maps_are_those_of_plain_autograd(network, score):
    model = loaded(seeded(Curved()), "relu", SIZE) if network == "curved" else unet(SIZE)
    engine, found = made(model, score)
    for index, name in ((1, "suture"), (2, "stem")):
        activation, slope = plain(engine, found, index, score)
        maps = {one.name: one for one in found.study(name).methods}
        expected = {
            GRAD: (slope.mean((1, 2))[:, None, None] * activation).sum(0),
            HIRES: (slope * activation).sum(0),
            EIGEN: projection(np.abs(slope) * activation),
            MEAN: activation.mean(0),
        }
        for method, right in expected.items():
            tolerance = 1e-4 * np.abs(right).max()
            np.testing.assert_allclose(maps[method].map, right, atol=tolerance, err_msg=method)
        assert np.array_equal(maps[ABLATION].map, found.of(name).map)
        assert np.array_equal(maps[INPUT].map, found.study(name).patches.drop, equal_nan=True)


def projection(weighted):
    """By the eigenvector of the cells' own products, another way than a decomposition."""
    rows = weighted.reshape(len(weighted), -1).T
    _, vectors = np.linalg.eigh(rows.T @ rows)
    found = rows @ vectors[:, -1]
    found *= np.sign(found[np.abs(found).argmax()])
    return found.reshape(weighted.shape[1:])


def test_an_eigen_map_of_rank_one_is_the_pattern_itself_with_its_largest_value_positive():
    pattern = np.array([[0.0, 1.0, 2.0], [0.0, -5.0, 1.0]])
    channels = np.array([2.0, -1.0])[:, None, None]
    activation = torch.from_numpy(channels * pattern)
    found = eigen_map(activation, torch.full((2, 2, 3), -1.0, dtype=torch.float64))
    np.testing.assert_allclose(found, -np.sqrt(5) * pattern, atol=1e-6)


def test_passes_and_times_are_counted_method_by_method():
    _, found = made(loaded(seeded(Curved()), "relu", SIZE))
    maps = {one.name: one for one in found.study("suture").methods}
    assert tuple(maps) == METHODS
    passes = {name: one.passes for name, one in maps.items()}
    assert passes == {ABLATION: 7, GRAD: 3, HIRES: 3, EIGEN: 3, INPUT: 10, MEAN: 0, RANDOM: 0}
    assert maps[ABLATION].seconds == found.seconds_by_method["ablation-cam"]
    assert all(maps[name].seconds > 0 for name in (GRAD, HIRES, EIGEN, INPUT))


def test_a_random_map_is_the_seeds_and_nothing_elses():
    model = loaded(seeded(Curved()), "relu", SIZE)
    maps = {}
    for seed in (0, 0, 1):
        engine = Engine(model, config.Ablation(classes=("suture",), seed=seed))
        found = engine.explain(
            picture(SIZE), region=bar_and_disc(SIZE), studies=Studies(methods=(RANDOM,))
        )
        maps.setdefault(seed, []).append(found.study("suture").methods[0].map)
    assert np.array_equal(*maps[0])
    assert not np.array_equal(maps[0][0], maps[1][0])


def test_a_method_that_is_none_is_refused_with_the_list():
    with pytest.raises(AblationError, match="no method 'grad'; there are: ablation-cam, seg-grad"):
        Studies(methods=("grad",))
    assert Studies(methods=HIRES).methods == (HIRES,)
    assert Studies(methods=[HIRES, MEAN]).methods == (HIRES, MEAN)


def test_grad_cam_gives_the_same_maps():
    package = peer("pytorch_grad_cam")
    targets = peer("pytorch_grad_cam.utils.model_targets")
    engine, found = made(loaded(seeded(Curved()), "relu", SIZE), Score.LOGIT_SUM)
    region = (bar_and_disc(SIZE) == 1).astype(np.float32)
    score = targets.SemanticSegmentationTarget(1, region)
    module = engine.model.module
    maps = {one.name: one.map for one in found.study("suture").methods}
    for name, theirs in ((GRAD, package.GradCAM), (HIRES, package.HiResCAM)):
        with theirs(model=module, target_layers=[module.relu]) as cam:
            # Its gradients need an input or weights that carry some; those of the engine need none.
            x = torch.from_numpy(found.input)[None].requires_grad_()
            image = cam(input_tensor=x, targets=[score])[0]
        positive = np.maximum(maps[name], 0)
        np.testing.assert_allclose(positive / positive.max(), image, atol=1e-4)
        assert rank_correlation(positive, image) > 0.999
