from __future__ import annotations

import numpy as np
import pytest

from agent.simulator.layout import Layout
from agent.simulator.suture import lay_strip

SIZE = 128
LAYOUT = Layout(0.0, 0.2, 0.0, None, 0.03)
"""A bowed suture across the picture, a fifth of a radius below the middle."""


def laid(seed: int, contrast: float) -> np.ndarray:
    planes = np.full((3, SIZE, SIZE), 0.5, np.float32)
    lay_strip(np.random.default_rng(seed), planes, LAYOUT, contrast)
    return planes - 0.5


def test_what_shows_lies_about_the_middle_of_the_bar() -> None:
    """A lit flank or a bow to one side once drew the visible line several pixels off its bar."""
    rows = np.arange(SIZE)
    bar = (1 + LAYOUT.offset) * SIZE / 2 - 0.5
    for seed in range(25):
        shown = (laid(seed, 0.2)[1] ** 2).sum(1)
        assert float((shown * rows).sum() / shown.sum()) == pytest.approx(bar, abs=1.0), seed


def test_what_shows_runs_along_the_bar_and_not_across_it() -> None:
    """Where only one half of a bowed line shows, the bar lies along that half."""
    columns = np.arange(SIZE) - (SIZE - 1) / 2
    rows = np.arange(SIZE) - ((1 + LAYOUT.offset) * SIZE / 2 - 0.5)
    slopes = []
    for seed in range(60):
        shown = laid(seed, 0.2)[1] ** 2
        away = columns - (shown.sum(0) @ columns) / shown.sum()
        slopes.append((rows @ shown @ away) / (shown.sum(0) @ away**2))
    assert np.abs(slopes).max() < np.tan(np.radians(1.0))
    assert np.mean(np.abs(slopes)) < np.tan(np.radians(0.3))


def test_without_contrast_nothing_is_drawn() -> None:
    assert all(np.abs(laid(seed, 0.0)).max() < 1e-6 for seed in range(10))


def test_twice_the_contrast_shows_about_twice_as_much() -> None:
    faint = np.mean([np.abs(laid(seed, 0.04)).mean() for seed in range(25)])
    clear = np.mean([np.abs(laid(seed, 0.08)).mean() for seed in range(25)])
    assert 1.8 < clear / faint < 2.2
