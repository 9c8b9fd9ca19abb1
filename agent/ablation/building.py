"""What all builders of steps share: one pass's rows, and the places and tables of one picture.

Rows are (items * places + 1, channels): item after item, and one row of zeros at the end that every
tap outside the picture reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation import geometry
from agent.ablation.geometry import Index, Stored
from agent.ablation.shared import Value
from agent.ablation.trace import CutError


@dataclass(slots=True)
class Work:
    """One pass: the channel that each item changes (-1: none), and rows per operation."""

    channels: Tensor
    rows: dict[int, Tensor]


Step = Callable[[Work], Tensor]


class Builder:
    """Of one picture and one size of batch."""

    def __init__(self, values: list[Value], batch: int, device: torch.device) -> None:
        self._values = values
        self._batch = batch
        self._device = device

    def _stored(self, place: int) -> Stored:
        stored = self._values[place].stored
        if stored is None:
            raise CutError("an operation on what does not depend on the layer")
        return stored

    def _index(self, taps: Index, source: Stored) -> Tensor:
        return self._tensor(geometry.for_items(taps, source, self._batch))

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def with_zero(rows: Tensor) -> Tensor:
    """The rows and one of zeros."""
    return F.pad(rows, (0, 0, 0, 1))
