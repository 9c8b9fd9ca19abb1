"""What all builders of steps share: one pass's rows, and the places and tables of one picture.

Rows are (items * places, channels), item after item. Every tap outside the picture reads one more
row, of zeros, at the end: who has such taps asks for it (``padded``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.rows import geometry
from agent.ablation.rows.geometry import Index, Stored
from agent.ablation.rows.shared import Value
from agent.ablation.split.trace import CutError


@dataclass(slots=True)
class Work:
    """One pass: the channel that each item changes (-1: none), and rows per operation.

    ``changes``: what the last items, which bring a whole layer of their own beside others that
    change one channel, change at the operations before the first that mixes channels:
    (n, C, h, w) each.
    """

    channels: Tensor
    rows: dict[int, Tensor]
    changes: dict[int, Tensor] = field(default_factory=dict)


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

    def _padded(self, work: Work, place: int) -> Tensor:
        return padded(work, place, self._batch * self._stored(place).count)

    def _index(self, taps: Index, source: Stored) -> Tensor:
        return self._tensor(geometry.for_items(taps, source, self._batch))

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def add_changes(body: Tensor, maps: Tensor, pixels: Tensor) -> None:
    """Add (n, O, h, w) at some ``pixels`` (P,) to the last n items of (batch, P, O)."""
    body[-len(maps) :] += maps.flatten(2).index_select(2, pixels).transpose(1, 2)


def padded(work: Work, place: int, count: int) -> Tensor:
    """The ``count`` rows of an operation and the one of zeros. It is added when it is first asked
    for: whole maps are read without it, and adding it copies them."""
    rows = work.rows[place]
    if len(rows) == count:
        rows = work.rows[place] = with_zero(rows)
    return rows


def with_zero(rows: Tensor) -> Tensor:
    """The rows and one of zeros."""
    return F.pad(rows, (0, 0, 0, 1))


def maps_of(rows: Tensor, stored: Stored, batch: int) -> Tensor:
    """Rows in the picture's own order as (N, C, h, w) in channels-last memory, a view."""
    body = rows[: batch * stored.count]
    return body.view(batch, *stored.size, rows.shape[1]).permute(0, 3, 1, 2)


def rows_of(maps: Tensor) -> Tensor:
    """(N, C, h, w) -> (N * h * w, C), a view of channels-last memory."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
