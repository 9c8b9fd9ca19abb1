"""What a count proves: one-sided bounds of a rate and of a share. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

UPPER = 0.95
_PRECISION = 1e-9


def poisson_upper(count: int, confidence: float = UPPER) -> float:
    """Upper bound of a Poisson mean of which ``count`` events were seen.

    The mean at which so few events have probability 1 - ``confidence`` (F. Garwood, Biometrika 28,
    1936): half of the chi-squared quantile with 2 count + 2 degrees of freedom. 3.00 for none.
    """
    if count < 0 or not 0 < confidence < 1:
        raise ValueError(f"count {count} >= 0, confidence {confidence} in (0, 1)")

    def at_most(mean: float) -> float:
        terms = (k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(count + 1))
        return math.fsum(math.exp(term) for term in terms)

    high = count + 10.0 + 10.0 * math.sqrt(count + 1.0)
    return _falling(at_most, 1.0 - confidence, _PRECISION, high)


def share_lower(hits: int, runs: int, confidence: float = UPPER) -> float:
    """Lower bound of a share of which ``hits`` of ``runs`` were seen (C. J. Clopper and E. S.
    Pearson, Biometrika 26, 1934). 0.950 for 59 of 59."""
    if not 0 <= hits <= runs or runs < 1 or not 0 < confidence < 1:
        raise ValueError(f"hits {hits} of runs {runs} >= 1, confidence {confidence} in (0, 1)")
    if hits == 0:
        return 0.0

    def fewer(share: float) -> float:
        return math.fsum(_binomial(k, runs, share) for k in range(hits))

    return _falling(fewer, confidence, _PRECISION, 1.0 - _PRECISION)


def _binomial(k: int, n: int, p: float) -> float:
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(p) + (n - k) * math.log1p(-p))


def _falling(f: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Where a falling function has this value."""
    while high - low > _PRECISION * max(1.0, high):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if f(middle) > wanted else (low, middle)
    return 0.5 * (low + high)
