"""How long a chart runs until it alarms: average run lengths by Markov chain, and their inverse.

For independent standard normal points (after a transform to normal scores). The chart's value is
cut into ``states`` cells, the moves between them make a matrix Q of the cells that do not alarm,
and the mean number of points until an alarm is the solution of (I - Q) a = 1 at the starting cell
(Brook and Evans, Biometrika 59, 1972; for the EWMA Lucas and Saccucci, Technometrics 32, 1990). A
run length counts points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

STATES = 301
"""Odd, so that the EWMA starts in the middle of a cell; the third digit no longer moves."""
LARGEST_ARL = 1e12


def cusum_arl(k: float, h: float, shift: float = 0.0, states: int = STATES) -> float:
    """Mean points until ``S = max(0, S + z - k)`` exceeds ``h``, from 0, where z ~ N(shift, 1)."""
    if h <= 0 or states < 2:
        raise ValueError(f"h {h} must be above 0 and states {states} at least 2")
    width = 2.0 * h / (2 * states - 1)  # the first cell is half a cell around 0
    cells = np.arange(states)
    apart = np.arange(1 - states, states, dtype=np.float64)
    upper: NDArray[np.float64] = (apart + 0.5) * width + k - shift
    cumulative = _phi(upper)[cells[None, :] - cells[:, None] + states - 1]
    moves = np.diff(cumulative, axis=1, prepend=0.0)  # into the first cell from all below it
    return _mean_run(moves, 0)


def ewma_arl(weight: float, limit: float, shift: float = 0.0, states: int = STATES) -> float:
    """Mean points until ``|E|`` exceeds ``limit`` of its own lasting standard deviations, from 0.

    ``E = (1 - weight) E + weight z`` with z ~ N(shift, 1); two-sided; its standard deviation is
    ``sqrt(weight / (2 - weight))``.
    """
    if not 0 < weight <= 1 or limit <= 0 or states < 3 or states % 2 == 0:
        raise ValueError(f"weight {weight} in (0, 1], limit {limit} > 0, states {states} odd")
    bound = limit * ewma_sigma(weight)
    width = 2.0 * bound / states
    centres = -bound + (np.arange(states) + 0.5) * width
    edges = -bound + np.arange(states + 1) * width
    needed = (edges[None, :] - (1 - weight) * centres[:, None]) / weight - shift
    return _mean_run(np.diff(_phi(needed), axis=1), states // 2)


def ewma_sigma(weight: float) -> float:
    """The lasting standard deviation of an EWMA of independent points of deviation 1."""
    return math.sqrt(weight / (2.0 - weight))


@lru_cache(maxsize=256)
def cusum_limit(arl: float, k: float = 0.5) -> float:
    """The ``h`` whose run length without a change is ``arl`` points."""
    return _inverse(lambda h: cusum_arl(k, h), arl, 0.05, 40.0)


@lru_cache(maxsize=256)
def ewma_limit(arl: float, weight: float = 0.1) -> float:
    """The limit, in deviations of the EWMA, whose run length without a change is ``arl``."""
    return _inverse(lambda limit: ewma_arl(weight, limit), arl, 0.05, 7.0)


def _inverse(run: Callable[[float], float], arl: float, low: float, high: float) -> float:
    if not 1.0 < arl <= LARGEST_ARL or run(low) > arl:
        raise ValueError(f"no limit has a run length of {arl} points")
    while high - low > 1e-4:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if run(middle) < arl else (low, middle)
    return 0.5 * (low + high)


def _mean_run(moves: NDArray[np.float64], start: int) -> float:
    """(n, n) probabilities of the cells that do not alarm -> mean points from ``start`` on."""
    solved = np.linalg.solve(np.eye(len(moves)) - moves, np.ones(len(moves)))
    value = float(solved[start])
    return value if 0.0 < value < LARGEST_ARL else LARGEST_ARL


def _phi(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The normal distribution function."""
    return np.asarray(torch.special.ndtr(torch.from_numpy(x)).numpy())
