from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from agent.simulator.layout import Layout, Stem
from agent.simulator.noise import Marble
from agent.simulator.surround import BOX, lay_surround

SIZE = 128
LAYOUT = Layout(30.0, 0.0, 0.0, Stem(0.1, -0.1, 0.17, 0.14, 20.0), 0.0)


@pytest.fixture(scope="module")
def marble() -> Marble:
    return Marble()


def painted(seed: int, marble: Marble, layout: Layout = LAYOUT) -> np.ndarray:
    planes = np.full((3, SIZE, SIZE), 0.5, np.float32)
    lay_surround(np.random.default_rng(seed), planes, layout, marble)
    return planes


def test_without_a_stem_in_view_the_skin_stays_as_it_is(marble: Marble) -> None:
    bare = dataclasses.replace(LAYOUT, stem=None)
    assert (painted(1, marble, bare) == 0.5).all()


def test_the_skin_changes_around_the_stem_and_nowhere_else(marble: Marble) -> None:
    axis = (np.arange(SIZE) + 0.5) / (SIZE / 2) - 1
    away = np.hypot(axis[None, :] - 0.1, axis[:, None] + 0.1)
    changed = np.mean([np.abs(painted(seed, marble) - 0.5).max(0) for seed in range(30)], 0)
    assert changed[away > 1.05 * BOX].max() < 1e-6
    assert changed[away < 0.25].mean() > 10 * changed[(away > 0.5) & (away < BOX)].mean() > 0


def test_stains_darken_more_than_ridges_lighten(marble: Marble) -> None:
    all_of_them = np.stack([painted(seed, marble) for seed in range(30)]) - 0.5
    assert all_of_them.mean() < 0
    assert all_of_them.max() > 0
    assert all_of_them.min() > -0.5, "never black"


def test_two_seeds_stain_differently_and_one_seed_alike(marble: Marble) -> None:
    assert np.array_equal(painted(3, marble), painted(3, Marble()))
    assert not np.array_equal(painted(3, marble), painted(4, marble))


def test_a_stem_at_the_edge_of_the_picture_is_painted_as_far_as_it_shows(marble: Marble) -> None:
    cut = dataclasses.replace(LAYOUT, stem=Stem(0.95, 0.95, 0.2, 0.2, 0.0))
    planes = np.stack([painted(seed, marble, cut) for seed in range(5)])
    assert np.isfinite(planes).all()
    assert (planes != 0.5).any()
