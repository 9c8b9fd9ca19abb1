from __future__ import annotations

import pytest

from agent.scoring.bounds import poisson_upper, share_lower


@pytest.mark.parametrize(
    ("count", "upper"),
    [(0, 2.996), (1, 4.744), (2, 6.296), (3, 7.754), (5, 10.513), (10, 16.962), (20, 29.062)],
)
def test_the_upper_limit_of_a_poisson_mean_is_the_published_one(count: int, upper: float) -> None:
    assert poisson_upper(count) == pytest.approx(upper, abs=1e-3)


def test_another_confidence_is_the_published_one_too() -> None:
    assert poisson_upper(0, 0.9) == pytest.approx(2.303, abs=1e-3)
    assert poisson_upper(3, 0.975) == pytest.approx(8.767, abs=1e-3)


@pytest.mark.parametrize(
    ("hits", "runs", "lower"),
    [(59, 59, 0.9505), (58, 59, 0.9221), (10, 10, 0.7411), (9, 10, 0.6058), (5, 10, 0.2224)],
)
def test_the_lower_limit_of_a_share_is_the_published_one(
    hits: int, runs: int, lower: float
) -> None:
    assert share_lower(hits, runs) == pytest.approx(lower, abs=1e-4)


def test_none_seen_proves_nothing() -> None:
    assert share_lower(0, 59) == 0.0


@pytest.mark.parametrize(("count", "confidence"), [(-1, 0.95), (0, 0.0), (0, 1.0)])
def test_a_count_below_nothing_or_certainty_is_refused(count: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        poisson_upper(count, confidence)


@pytest.mark.parametrize(("hits", "runs"), [(1, 0), (3, 2), (-1, 2)])
def test_more_hits_than_runs_are_refused(hits: int, runs: int) -> None:
    with pytest.raises(ValueError, match="hits"):
        share_lower(hits, runs)
