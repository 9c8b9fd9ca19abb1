"""Channel means over a reference set, and the two baselines of one engine."""

import dataclasses

import numpy as np
import pytest
import torch

from agent import config
from agent.ablation.core.errors import AblationError
from agent.ablation.engine import Engine, Tuning
from agent.ablation.run.channel_means import channel_means
from agent.models.card import ModelCard
from agent.models.loaded import preprocess
from tests.ablation.networks import OneByOne, loaded, picture, seeded


@pytest.fixture
def model():
    torch.set_num_threads(1)
    return loaded(seeded(OneByOne(), 14), "relu")


def test_means_are_over_pictures_and_cells(model):
    images = [picture(16, seed) for seed in range(3)]
    found = channel_means(model, ((image, None) for image in images))
    with torch.no_grad():
        batch = torch.stack([preprocess(model, image) for image in images])
        maps = model.module.relu(model.module.features(batch)).double()
    np.testing.assert_allclose(found, maps.mean((0, 2, 3)).numpy(), rtol=1e-6)


def test_an_empty_reference_set_and_a_picture_that_is_none_are_refused(model):
    with pytest.raises(AblationError, match="reference set has no picture"):
        channel_means(model, [])
    with pytest.raises(AblationError, match="reference picture 1: a picture must be uint8"):
        channel_means(model, [(picture(16), None), (np.zeros((16, 16, 3)), None)])


def test_one_engine_serves_both_baselines_with_means_from_the_models_card(model):
    means = channel_means(model, [(picture(16, 5), None)])
    card = ModelCard(name="test", channel_means={"relu": tuple(means)})
    settings = config.Ablation(classes=("suture",))
    engine = Engine(dataclasses.replace(model, card=card), settings, tuning=Tuning(batch=4))
    given = Engine(model, settings, tuning=Tuning(batch=4, reference=means))
    found = {name: engine.explain(picture(16), baseline=name) for name in ("zero", "mean")}
    assert {name: one.baseline for name, one in found.items()} == {"zero": "zero", "mean": "mean"}
    assert engine.explain(picture(16)).baseline == "zero"
    assert not np.allclose(found["zero"].classes[0].deltas, found["mean"].classes[0].deltas)
    np.testing.assert_allclose(
        given.explain(picture(16), baseline="mean").classes[0].deltas,
        found["mean"].classes[0].deltas,
    )


def test_the_mean_baseline_of_an_engine_without_means_is_refused_before_anything_runs(model):
    engine = Engine(model, config.Ablation(classes=("suture",)), tuning=Tuning(batch=4))
    with pytest.raises(AblationError, match="the model's card has none"):
        engine.explain(picture(16), baseline="mean")
