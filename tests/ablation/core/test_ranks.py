import math

import numpy as np
import pytest

from agent.ablation.core.ranks import rank_correlation, ranks


def test_equal_values_share_the_mean_of_their_ranks():
    assert ranks(np.array([3.0, 1.0, 3.0, 0.0])).tolist() == [2.5, 1.0, 2.5, 0.0]


def test_rank_correlation_knows_order_alone():
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(x, np.exp(x)) == pytest.approx(1.0)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1.0)
    assert rank_correlation(x, np.array([1.0, 2.0, 4.0, 3.0])) == pytest.approx(0.8)


def test_pairs_with_a_gap_are_left_out_and_too_few_pairs_say_nothing():
    gap = math.nan
    assert rank_correlation(
        np.array([[1.0, 2.0], [3.0, gap]]), np.array([[5.0, 6.0], [9.0, -1.0]])
    ) == pytest.approx(1.0)
    assert math.isnan(rank_correlation(np.array([1.0, 2.0, gap]), np.array([1.0, 2.0, 3.0])))
    assert math.isnan(rank_correlation(np.ones(5), np.arange(5.0)))
