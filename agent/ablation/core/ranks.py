"""Rank correlation."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from agent.ablation.core.errors import AblationError

Numbers = NDArray[np.floating]


def ranks(values: Numbers) -> NDArray[np.float64]:
    """(n,) -> (n,): ranks from 0, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2)[inverse.reshape(-1)], np.float64)


def rank_correlation(one: Numbers, other: Numbers) -> float:
    """Spearman's coefficient of two arrays of one shape, pairs with a NaN left out.

    ``AblationError`` for arrays of two shapes. NaN where fewer than three pairs are left
    or either side is constant.
    """
    if np.shape(one) != np.shape(other):
        raise AblationError(f"ranks of arrays of {np.shape(one)} and {np.shape(other)} compared")
    a, b = np.ravel(one), np.ravel(other)
    known = np.isfinite(a) & np.isfinite(b)
    if int(known.sum()) < 3:
        return math.nan
    x, y = (ranks(values[known]) for values in (a, b))
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else math.nan
