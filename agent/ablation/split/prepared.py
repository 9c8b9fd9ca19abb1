"""What the first half of a model leaves behind for the second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_map


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


class Suffix(Protocol):
    """What runs a model from a layer on."""

    def suffix(self, batch: Tensor, prepared: Prepared) -> object:
        """See ``Split``."""


def one_by_one(way: Suffix, batch: Tensor, prepared: Prepared) -> object:
    """The items of a batch in a pass each, their outputs joined again."""
    parts = [way.suffix(batch[i : i + 1], prepared) for i in range(len(batch))]
    return tree_map(_joined, *parts)


def _joined(*items: Any) -> Any:
    """Maps behind each other; of what is no map (a loss, nothing) the first."""
    shapes = {tuple(one.shape[1:]) if isinstance(one, Tensor) else None for one in items}
    maps = len(shapes) == 1 and isinstance(items[0], Tensor) and items[0].ndim > 0
    return torch.cat(items) if maps else items[0]
