"""Rows of a map gathered and multiplied: a convolution of the pixels that are needed alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from agent.ablation.rows.products import Chunks, at_a_time

LEAST = 64
"""Parts of rows that are narrower cost more to read than their sums gain."""

Rows = Callable[[Tensor], Tensor]
"""Rows of one source to what they give."""


def gathered(index: Tensor, width: int, weight: Tensor) -> Rows:
    """Rows of a source, ``width`` wide, to the products of those that ``index`` (P, taps) names
    with ``weight`` (O, taps * width). Rows wider than what is summed in one go are read by parts,
    where they have equal ones of a decent width."""
    most = at_a_time(index.shape[1] * width)
    some = range(max(1, -(-width // most)), width // LEAST + 1)
    parts = next((n for n in some if width % n == 0), 1)
    if parts > 1:
        within = torch.arange(parts, dtype=index.dtype, device=index.device)
        index = (index[:, :, None] * parts + within).flatten(1)
    chunks = Chunks(len(index), index.shape[1], width // parts)
    blocks = [index[:, block].contiguous() for block in chunks.blocks]

    def run(rows: Tensor) -> Tensor:
        pieces = rows.reshape(-1, width // parts)

        def fill(part: slice, block: int, scratch: Tensor) -> None:
            some = blocks[block][part].flatten()
            torch.index_select(pieces, 0, some, out=scratch.view(-1, width // parts)[: len(some)])

        return chunks.product(weight, fill)

    return run
