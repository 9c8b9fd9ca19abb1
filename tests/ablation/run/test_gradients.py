"""Slopes at the layer, and networks that have none."""

import numpy as np
import pytest
import torch
from torch import nn

from agent import config
from agent.ablation.engine import Engine, Tuning
from agent.ablation.studies.methods import EIGEN, GRAD, HIRES, MEAN, METHODS
from agent.ablation.studies.studies import Studies
from agent.records import Rung
from tests.ablation.networks import OneByOne, bar_and_disc, loaded, picture, seeded


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


class Wide(OneByOne):
    """More channels than a sample of exact ones."""

    def __init__(self) -> None:
        super().__init__(40)


class NoGrad(Wide):
    """Not to be traced either: a traced graph has no such mode, and its gradient."""

    @torch.no_grad()
    def forward(self, x):
        return super().forward(x) if float(x.sum()) > -1e9 else x


class InferenceOnly(Wide):
    @torch.inference_mode()
    def forward(self, x):
        return super().forward(x) if float(x.sum()) > -1e9 else x


class Detached(Wide):
    def forward(self, x):
        return self.head(self.relu(self.features(x)).detach())


class Rounded(Wide):
    """Its output is of integers, as that of a quantised network."""

    def forward(self, x):
        return (100 * super().forward(x)).to(torch.int32).float()


class Steps(Wide):
    """A gradient there is, but it is 0 wherever it is looked at."""

    def forward(self, x):
        return (100 * super().forward(x)).round() / 100


class Rooted(Wide):
    """The slope of a root is infinite at 0, where a ReLU puts half of all values."""

    def forward(self, x):
        return self.head(self.relu(self.features(x)).sqrt())


class Half(Wide):
    """float16 from the layer on."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(40, 3, 1).half()
        self.relu = nn.Sequential(nn.ReLU(), _Halved())

    def forward(self, x):
        return self.head(self.relu(self.features(x))).float()


class _Halved(nn.Module):
    def forward(self, x):
        return x.half()


def engine_of(module):
    model = loaded(seeded(module), "relu")
    return Engine(model, config.Ablation(classes=("suture",)), tuning=Tuning(batch=8))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (NoGrad, "no gradient of the score reaches the layer"),
        (InferenceOnly, "no gradient of the score reaches the layer"),
        (Rounded, "no gradient of the score reaches the layer"),
        (Rooted, "is not finite"),
        (Half, "the layer is float16"),
    ],
)
def test_a_network_without_a_gradient_is_explained_and_only_gradient_maps_are_left_out(
    kind, reason
):
    engine = engine_of(kind())
    wanted = Studies(hires=True, block_cells=8, methods=METHODS)
    found = engine.explain(picture(16), region=bar_and_disc(16), studies=wanted)
    record, study = found.classes[0], found.study("suture")
    assert record.explainable
    assert np.abs(record.deltas).max() > 0
    assert "hires_map" in found.left_out
    assert reason in study.refused["hires_map"]
    assert study.block_drop is not None, "it costs no other study"
    maps = {one.name: one for one in study.methods}
    assert tuple(maps) == METHODS
    for name, one in maps.items():
        if name in (GRAD, HIRES, EIGEN):
            assert one.map is None
            assert reason in one.reason
        else:
            assert one.map is not None
            assert not one.reason


def test_a_slope_of_0_everywhere_is_a_blank_map_that_says_so():
    found = engine_of(Steps()).explain(
        picture(16), region=bar_and_disc(16), studies=Studies(methods=(GRAD, MEAN))
    )
    grad, mean = found.study("suture").methods
    assert not grad.map.any()
    assert grad.reason == "the map is 0 everywhere"
    assert mean.map.any()
    assert not mean.reason


def test_what_is_not_computed_has_no_stand_in_without_a_gradient_and_the_error_says_so():
    engine = engine_of(Detached())
    found = engine.explain(picture(16), region=bar_and_disc(16), rung=Rung.PARTIAL, deadline_s=0.0)
    record, exact = found.classes[0], engine.explain(picture(16), region=bar_and_disc(16))
    assert "gradient_estimate" in found.left_out
    assert 16 <= record.exact.sum() < 40
    np.testing.assert_allclose(
        record.deltas[record.exact], exact.classes[0].deltas[record.exact], rtol=1e-4, atol=1e-6
    )
    assert not record.deltas[~record.exact].any()
    assert record.estimate_error > 0.05


def test_a_gradient_that_ends_behind_the_layer_is_none_and_the_ablation_is_one():
    found = engine_of(Detached()).explain(
        picture(16), region=bar_and_disc(16), studies=Studies(hires=True)
    )
    assert np.abs(found.classes[0].deltas).max() > 0
    assert "hires_map" in found.left_out


def test_gradients_leave_weights_alone_and_do_not_depend_on_the_mode_of_the_caller():
    model = loaded(seeded(OneByOne()), "relu")
    for parameter in model.module.parameters():
        parameter.requires_grad_()  # as a module of one's own may be
    engine = Engine(model, config.Ablation(classes=("suture",)), tuning=Tuning(batch=4))
    maps = []
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with mode():
            found = engine.explain(
                picture(16), region=bar_and_disc(16), studies=Studies(methods=(GRAD,))
            )
        maps.append(found.study("suture").methods[0].map)
    assert np.abs(maps[0]).max() > 0
    for other in maps[1:]:
        assert np.array_equal(maps[0], other)
    assert all(parameter.grad is None for parameter in model.module.parameters())
