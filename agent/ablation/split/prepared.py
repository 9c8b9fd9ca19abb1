"""What the first half of a model leaves behind for the second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Prepared:
    """What one picture leaves behind for its items.

    ``activation`` is (1, K, h, w), a copy that nothing else writes to; ``size`` is the (h, w) of
    the input; ``constants`` belong to the split that made them.
    """

    activation: Tensor
    size: tuple[int, int]
    constants: tuple[Any, ...]


def copied(value: Any) -> Any:
    """A tensor's copy, which nothing else writes to; anything else as it is."""
    return value.clone() if isinstance(value, Tensor) else value
