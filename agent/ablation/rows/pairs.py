"""(item, pixel) pairs: what is run again of an operation where patches hide parts of the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.rows.geometry import Index
from agent.ablation.rows.values import Value


@dataclass(frozen=True, slots=True)
class Pairs:
    """The (item, pixel) pairs that are run again at one operation; ``table`` (items, h * w) is the
    row of every pixel for every item, the last column that of everything outside the picture."""

    item: Index
    pixel: Index
    table: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Patched:
    """Patches on their way through the operations: what is run again of each so far (``pairs``),
    and its ``rows``, the new ones behind those of the picture as it is.

    ``values``: what is known of all; ``offsets``: what convolutions add to every item's rows
    (h * w, O).
    ``like`` has the dtype and device of the maps.
    """

    values: Sequence[Value]
    offsets: Mapping[int, Tensor]
    like: Tensor
    pairs: dict[int, Pairs] = field(default_factory=dict)
    rows: dict[int, Tensor] = field(default_factory=dict)

    def at(self, source: int, own: Pairs) -> Tensor:
        """(n, C): the rows of a source at the pixels of ``own``."""
        index = self.tensor(self.pairs[source].table[own.item, own.pixel])
        return self.rows[source].index_select(0, index)

    def taps(self, source: int, item: Index, pixel: NDArray[np.signedinteger]) -> Tensor:
        """(n, T): the rows of a source's pixels (n, T) for (n,) items; -1 lies outside."""
        table = self.pairs[source].table
        count = table.shape[1]
        start = (item * count).astype(np.int32)[:, None]
        return self.tensor(table.ravel().take(start + np.where(pixel < 0, count - 1, pixel)))

    def tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.like.device)
