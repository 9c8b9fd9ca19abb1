"""Occlusion of the input, on networks whose answer is known by hand."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agent import config
from agent.ablation.core.case import Case, target
from agent.ablation.core.focus import Classes
from agent.ablation.run.input_occlusion import blurred, input_sensitivities
from agent.ablation.run.whole_model import WholeModel
from agent.config import Head

SIZE = 64
GRID = (8, 8)


class Darkness(nn.Module):
    """Suture where the picture is dark; ``context`` weighs the darkness of the top row instead."""

    def __init__(self, context: float) -> None:
        super().__init__()
        self.context = context

    def forward(self, x: Tensor) -> Tensor:
        dark = 1.0 - x[:, :1]
        mark = dark[:, :, :8, :].amax(dim=(2, 3), keepdim=True)
        suture = 10 * ((1 - self.context) * dark + self.context * mark) - 5
        return torch.cat((torch.zeros_like(suture), suture.expand_as(dark)), dim=1)


def model(context: float) -> Any:
    return SimpleNamespace(
        module=Darkness(context),
        classes=("background", "suture"),
        head=Head.LOGITS,
        output_key=None,
        batchable=True,
        name="darkness",
        label="darkness",
    )


def case(network: Any) -> Case:
    """A bright picture with a dark bar across its middle and a dark mark above."""
    x = torch.ones(1, 3, SIZE, SIZE)
    x[:, :, 32:40, :] = 0.0
    x[:, :, 0:8, 24:32] = 0.0
    with torch.no_grad():
        logits = network.module(x)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[32:40] = 1
    return Case(x, logits, mask, np.ones((SIZE, SIZE), np.bool_), Classes(mask), (SIZE, SIZE))


def sensitivity(context: float, draws: int = 32) -> Any:
    network = model(context)
    picture = case(network)
    settings = config.Ablation(background_draws=draws)
    with torch.no_grad():
        (found,) = input_sensitivities(
            WholeModel(network, picture.x),
            picture,
            [target(network, picture, "suture")],
            GRID,
            settings,
        )
    return found


def test_a_network_that_looks_at_the_suture_feels_its_occlusion_and_no_other() -> None:
    found = sensitivity(context=0.0)
    assert found.foreground > 0.9
    assert found.background < 0.05
    assert found.context_reliance < 0.05


def test_a_network_that_learned_a_mark_beside_the_fruit_is_told_from_one_that_did_not() -> None:
    found = sensitivity(context=1.0)
    assert found.foreground < 0.05, "hiding the suture changes nothing"
    assert found.background > 0.05, "some draws hide the mark"
    assert found.context_reliance > 0.9


def test_a_network_that_ignores_its_input_has_no_sensitivity_at_all() -> None:
    network = model(0.0)
    network.module.forward = lambda x: torch.zeros(len(x), 2, SIZE, SIZE)
    picture = dataclasses.replace(case(model(0.0)), logits=torch.zeros(1, 2, SIZE, SIZE))
    with torch.no_grad():
        (found,) = input_sensitivities(
            WholeModel(network, picture.x),
            picture,
            [target(network, picture, "suture")],
            GRID,
            config.Ablation(),
        )
    assert math.isnan(found.context_reliance)


def test_the_same_seed_gives_the_same_numbers() -> None:
    assert sensitivity(0.5, draws=4) == sensitivity(0.5, draws=4)


def test_a_blur_takes_no_black_from_outside_the_aperture() -> None:
    yy, xx = np.mgrid[:SIZE, :SIZE]
    aperture = (yy - 31.5) ** 2 + (xx - 31.5) ** 2 < 30**2
    x = np.where(aperture, 0.7, 0.0).astype(np.float32)[None]
    out = blurred(x, aperture)
    assert out[0][aperture] == pytest.approx(0.7, abs=1e-4)
    assert (out[0][~aperture] == 0).all()
