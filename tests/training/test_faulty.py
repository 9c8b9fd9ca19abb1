from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from agent import config
from agent.models.loading import load_model
from agent.models.unet import UNet
from agent.simulator.layout import MASK_SUTURE
from agent.training.faulty import MODEL_FAULTS, MarkedSamples, main, mark, train_shortcut
from agent.training.recipe import Recipe, Stage
from agent.training.samples import SimulatedSamples


@pytest.fixture(scope="module")
def network() -> UNet:
    torch.manual_seed(0)
    return UNet(3, 3, 4).eval()


@pytest.mark.parametrize("name", sorted(MODEL_FAULTS))
def test_a_model_fault_changes_what_the_network_answers(name: str, network: UNet) -> None:
    before = {key: value.clone() for key, value in network.state_dict().items()}
    spoilt = UNet(3, 3, 4).eval()
    spoilt.load_state_dict(MODEL_FAULTS[name](network.state_dict(), 1))
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert not torch.equal(network(x), spoilt(x))
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_a_blind_network_answers_every_picture_alike(network: UNet) -> None:
    spoilt = UNet(3, 3, 4).eval()
    spoilt.load_state_dict(MODEL_FAULTS["blind"](network.state_dict(), 0))
    with torch.no_grad():
        assert torch.equal(spoilt(torch.rand(1, 3, 32, 32)), spoilt(torch.rand(1, 3, 32, 32)))


def test_the_marks_lie_at_the_rim_and_beside_the_suture() -> None:
    samples = SimulatedSamples(128, empty=0.0, passing=0.0)
    for index in range(8):
        sample = samples.sample(index)
        changed = (mark(sample) != sample.image).any(2)
        rows, columns = np.nonzero(changed)
        assert 20 < len(rows) < 600
        assert not np.any(sample.mask[rows, columns] == MASK_SUTURE), "off the line"
        gap = cv2.distanceTransform((sample.mask != MASK_SUTURE).astype(np.uint8), cv2.DIST_L2, 5)
        assert 4 < np.median(gap[rows, columns]) < 24, "but close to it"
        assert np.hypot(rows - 63.5, columns - 63.5).min() > 40, "at the rim"
    assert not np.array_equal(MarkedSamples(samples).sample(1).image, samples.sample(1).image)


def test_a_shortcut_can_be_trained() -> None:
    state = train_shortcut(Recipe(stages=(Stage(32, 2, 2, 48),), features=4, warmup=1))
    assert all(bool(torch.isfinite(value).all()) for value in state.values())


def test_faulty_models_are_written_with_cards_that_say_what_they_are(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 0
    for name in MODEL_FAULTS:
        model = load_model(config.Model(path=tmp_path / f"{name}.safetensors"), "cpu")
        assert "made on purpose" in model.card.notes
        assert model.name.endswith(name)
