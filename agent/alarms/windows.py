"""Windows over the newest samples of a signal."""

from __future__ import annotations

import math
from collections import deque


class MeanWindow:
    """Mean of the newest ``size`` defined samples. NaN is an undefined one: counted, not averaged.

    ``samples`` counts the defined ones since the start.

    ``undefined`` is true while fewer than a quarter of the newest 2 x ``size`` samples were
    defined: the mean is then mostly of old ones. A healthy model leaves up to a third undefined.
    """

    def __init__(self, size: int) -> None:
        self.samples = 0
        self._size = size
        self._values: deque[float] = deque(maxlen=size)
        self._defined: deque[bool] = deque(maxlen=2 * size)

    def add(self, value: float) -> bool:
        """Take one sample; return whether it was defined."""
        defined = math.isfinite(value)
        self._defined.append(defined)
        if defined:
            self.samples += 1
            self._values.append(value)
        return defined

    def resize(self, size: int) -> None:
        """Keep the newest ``size`` samples from now on, and of those that there are."""
        self._size = size
        self._values = deque(self._values, maxlen=size)
        self._defined = deque(self._defined, maxlen=2 * size)

    def clear(self) -> None:
        """Forget every sample, but for how many there were."""
        self._values.clear()
        self._defined.clear()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def full(self) -> bool:
        return len(self._values) == self._size

    @property
    def mean(self) -> float:
        """NaN while there is no defined sample."""
        return math.fsum(self._values) / len(self._values) if self._values else math.nan

    @property
    def undefined(self) -> bool:
        return sum(self._defined) * 4 < len(self._defined)


class QuantileWindow:
    """A quantile of the newest ``size`` samples."""

    def __init__(self, size: int, share: float) -> None:
        self._share = share
        self._values: deque[float] = deque(maxlen=size)

    def add(self, value: float) -> None:
        self._values.append(value)

    def resize(self, size: int) -> None:
        """Keep the newest ``size`` samples from now on, and of those that there are."""
        self._values = deque(self._values, maxlen=size)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def value(self) -> float:
        """The smallest sample that ``share`` of them do not exceed; NaN without samples."""
        if not self._values:
            return math.nan
        return sorted(self._values)[math.ceil(self._share * len(self._values)) - 1]
