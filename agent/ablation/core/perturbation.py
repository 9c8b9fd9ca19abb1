"""One mechanism for every perturbation: an item names channels and cells, and those are replaced.

Ablating channel k is an item over channel k and every cell; occluding a region is an item over
every channel and the region's cells; the whole layer is an item over everything; and the null item
is an item over nothing, which takes the same path as all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agent.ablation.core.regions import Mask


@dataclass(frozen=True, slots=True)
class Item:
    """What one perturbed copy has replaced: ``cells`` (h, w) of ``channels``, or (K, h, w) where
    each channel has its own; None means all."""

    channels: tuple[int, ...] | None = None
    cells: Mask | None = None


NULL = Item(channels=())
WHOLE = Item()


def channel(index: int) -> Item:
    return Item(channels=(index,))


def replaced(activation: Tensor, baseline: Tensor, items: Sequence[Item]) -> Tensor:
    """(1, K, h, w) activation -> (N, K, h, w), new memory: the baseline where an item says so.

    ``baseline`` is (1, K, 1, 1).
    """
    _, depth, height, width = activation.shape
    out = []
    for item in items:
        chosen = np.ones((depth, 1, 1), dtype=np.bool_)
        if item.channels is not None:
            chosen = np.zeros((depth, 1, 1), dtype=np.bool_)
            chosen[list(item.channels)] = True
        cells = np.ones((height, width), np.bool_) if item.cells is None else item.cells
        out.append(chosen & cells)
    mask = torch.from_numpy(np.stack(out)).to(activation.device)
    return torch.where(mask, baseline, activation)
