import numpy as np
import pytest
import torch

from agent import config
from agent.ablation.core.case import load_case, target
from agent.ablation.core.ranks import rank_correlation
from agent.ablation.core.scores import SCORES, Target
from agent.ablation.engine import Engine
from agent.ablation.run import estimate
from agent.ablation.split import split
from agent.models.loaded import as_logits
from agent.models.loading import load_model
from agent.simulator.render import Renderer
from tests.ablation.networks import OneByOne, loaded, seeded


def test_the_estimate_of_a_linear_score_is_exact():
    """With a linear head and the raw logit, one gradient says everything."""
    model = loaded(seeded(OneByOne()), "relu")
    x = torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    region = torch.zeros((16, 16), dtype=torch.bool)
    region[2:6, 3:9] = True
    target = Target("suture", 1, region, region, SCORES["logit_sum"])
    with torch.no_grad():
        way = split.build_split(model, "relu", x)
        prepared = way.prefix(x)
        baseline = torch.zeros(1, 5, 1, 1)
        found = estimate.gradient_times_activation(model, way, prepared, baseline, [target])
        maps = prepared.activation[0].double()
        weight = model.module.head.weight[1, :, 0, 0].double()
        expected = weight * maps[:, region].sum(1)
        assert as_logits(model, model.module(x)).shape == (1, 3, 16, 16)
    np.testing.assert_allclose(found[0], expected.numpy(), rtol=1e-5)


def test_channels_are_ordered_by_size_with_every_class_counting_alike():
    estimates = np.array([[0.1, -5.0, 1.0, 0.0], [9e-3, 0.0, 0.0, -1e-2]])
    assert estimate.order(estimates).tolist() == [1, 3, 0, 2]


def test_calibration_is_a_least_squares_slope_on_the_known_channels():
    guess, exact = np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 0.0])
    known = np.array([True, True, False])
    assert estimate.calibrated(guess, exact, known) == pytest.approx([10, 20, 30])
    assert estimate.calibrated(np.zeros(3), exact, known).tolist() == [0, 0, 0]


def test_the_error_is_the_mean_over_the_sample_relative_to_the_largest_delta():
    guess, exact = np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.0, 9.0])
    assert estimate.error(guess, exact, np.array([0, 1]), 10.0) == pytest.approx(0.025)
    assert estimate.error(guess, exact, np.zeros(0, np.int64), 10.0) == 0.0


@pytest.mark.long
def test_the_first_answer_of_the_shipped_model_puts_channels_in_nearly_their_exact_order():
    """In the median of three fruit; one by one it varies (README, "Rungs")."""
    torch.set_num_threads(1)
    model = load_model(config.Model())
    engine = Engine(model, config.Ablation(classes=("suture",)))
    agreement = []
    for seed in range(500, 503):
        render = Renderer(256).fruit(seed)
        exact = engine.explain(render.image, render.aperture).classes[0].deltas
        with torch.no_grad():
            case = load_case(model, render.image, render.aperture, None)
            way = split.build_split(model, engine.layer, case.x)
            prepared = way.prefix(case.x)
            baseline = torch.zeros_like(prepared.activation[:, :, :1, :1])
            guess = estimate.gradient_times_activation(
                model, way, prepared, baseline, [target(model, case, "suture")]
            )[0]
        agreement.append((np.corrcoef(guess, exact)[0, 1], rank_correlation(guess, exact)))
    assert np.median(agreement, 0).min() > 0.85
    assert np.min(agreement) > 0.6
