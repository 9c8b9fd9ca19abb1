"""Window means to normal scores, whatever their distribution."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.alarms.charts.scores import SCORE_MAX, ConstantError, NormalScores, normal_scores


@pytest.mark.parametrize("shape", ["normal", "skewed", "bounded"])
def test_fresh_means_of_the_same_kind_have_normal_scores(shape: str) -> None:
    rng = np.random.default_rng(3)
    draw = {
        "normal": lambda n: rng.normal(7, 2, n),
        "skewed": lambda n: rng.lognormal(0, 0.5, n),
        "bounded": lambda n: rng.beta(2, 6, n),
    }[shape]
    scores = normal_scores(draw(600))
    z = np.array([scores.score(value) for value in draw(4000)])
    assert abs(np.median(z)) < 0.15
    assert 0.85 < np.percentile(z, 84) - np.median(z) < 1.15
    assert (np.abs(z) > 4).mean() < 2e-3


def test_a_heavy_tail_is_not_taken_for_a_fault() -> None:
    rng = np.random.default_rng(4)
    scores = normal_scores(rng.standard_t(4, 400))
    z = np.array([scores.score(value) for value in rng.standard_t(4, 20_000)])
    straight = np.abs(rng.standard_t(4, 20_000) / math.sqrt(2)) > 4.5
    assert (np.abs(z) > 4.5).mean() < 0.5 * straight.mean()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4), min_size=40, max_size=120))
def test_more_is_never_less_and_the_way_back_leads_back(means: list[float]) -> None:
    try:
        scores = normal_scores(means)
    except ConstantError:
        return
    low, high = min(means), max(means)
    grid = np.linspace(low - 1, high + 1, 50)
    z = [scores.score(value) for value in grid]
    assert all(a <= b for a, b in pairwise(z))
    inside = [v for v, s in zip(grid, z, strict=True) if abs(s) < SCORE_MAX]
    for value in inside:
        back = scores.value(scores.score(value))
        assert back == pytest.approx(value, abs=1e-6 * max(1.0, abs(low), abs(high)))


def test_a_constant_signal_has_no_ranks() -> None:
    with pytest.raises(ConstantError):
        normal_scores([0.25] * 80)


def test_a_signal_that_is_mostly_constant_still_scores_its_rare_values() -> None:
    means = [0.0] * 70 + [0.01, 0.01, 0.01, 0.01, 0.02, 0.02, 0.02, 0.03, 0.03, 0.04]
    scores = normal_scores(means)
    assert abs(scores.score(0.0)) < 0.6
    assert scores.score(0.3) > 5


def test_too_few_windows_are_named() -> None:
    with pytest.raises(ValueError, match="12 windows"):
        normal_scores(np.arange(12.0))


def test_nan_has_no_score_and_is_no_reference() -> None:
    scores = normal_scores(np.arange(100.0))
    assert math.isnan(scores.score(math.nan))
    with pytest.raises(ValueError, match="finite"):
        normal_scores([*np.arange(60.0), math.nan])


@pytest.mark.parametrize(
    ("values", "scores"),
    [
        ((1.0, 1.0), (0.0, 1.0)),
        ((1.0,), (0.0,)),
        ((0.0, math.inf), (0.0, 1.0)),
        ((0.0, 1.0), (0.0, 12.0)),
    ],
)
def test_a_map_that_is_none_is_refused(
    values: tuple[float, ...], scores: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match="rising"):
        NormalScores(values, scores, 1.0, 1.0)
