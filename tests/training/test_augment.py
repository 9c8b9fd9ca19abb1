from __future__ import annotations

import numpy as np
import pytest

from agent.segmentation.line import angle_error_deg
from agent.training.augment import augment, turn
from agent.training.cases import annotated_case
from agent.training.samples import Sample, SimulatedSamples, passing


@pytest.fixture(scope="module")
def samples() -> SimulatedSamples:
    return SimulatedSamples(96, empty=0.0, passing=0.0)


def test_augmented_samples_are_the_same_for_the_same_seed(samples: SimulatedSamples) -> None:
    for index in range(6):
        one, two = (augment(samples.sample(index), np.random.default_rng(index)) for _ in range(2))
        assert np.array_equal(one.image, two.image)
        assert np.array_equal(one.mask, two.mask)


def test_nothing_outside_the_aperture_is_lit_or_labelled(samples: SimulatedSamples) -> None:
    for index in range(20):
        made = augment(samples.sample(index), np.random.default_rng(index))
        assert not made.image[~made.aperture].any()
        assert not made.mask[~made.aperture].any()
        assert made.image.dtype == made.mask.dtype == np.uint8


def test_a_turn_moves_picture_and_mask_together(samples: SimulatedSamples) -> None:
    sample = samples.sample(1)
    marked = sample.image.copy()
    marked[sample.mask > 0] = 255
    marked[sample.mask == 0] = 0
    turned = turn(Sample(marked, sample.aperture, sample.mask), np.random.default_rng(5))
    agree = (turned.image[..., 0] > 127) == (turned.mask > 0)
    assert agree.mean() > 0.98
    before, after = annotated_case("a", sample), annotated_case("b", turned)
    assert angle_error_deg(before.angle_deg, after.angle_deg) > 1


def test_a_passing_fruit_is_only_partly_in_view(samples: SimulatedSamples) -> None:
    sample = samples.sample(2)
    moved = [passing(sample, np.random.default_rng(k)) for k in range(8)]
    assert all(m.image.shape == sample.image.shape for m in moved)
    assert min((m.mask > 0).sum() for m in moved) < 0.8 * (sample.mask > 0).sum()


def test_training_data_contain_empty_cups_in_their_share() -> None:
    samples = SimulatedSamples(48, empty=0.3, passing=0.0)
    empty = sum(not samples.sample(i).mask.any() for i in range(100))
    assert 18 < empty < 44
