"""Facts that a camera puts into its pictures: chunks, by the names of ``ChunkSelector``. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from agent.capture.sources.genicam.backend import Value

LONGEST_TEXT = 200
"""Characters of a chunk that is a text: what a picture brings along has room for a few of them."""


def value_node(chunk: str, names: Collection[str]) -> str:
    """Name of the node that holds a chunk's value; "" where the camera describes none.

    The standard's is ``Chunk`` before the name; older cameras write the rest in another case.

    >>> value_node("FrameCounter", ["ChunkSelector", "ChunkFramecounter"])
    'ChunkFramecounter'
    """
    wanted = f"Chunk{chunk}"
    if wanted in names:
        return wanted
    return next((one for one in names if one.casefold() == wanted.casefold()), "")


def completed(wanted: Sequence[str], found: Mapping[str, Value]) -> dict[str, Value]:
    """Every chunk that is wanted, NaN where the picture has it not; long texts are cut."""
    values: dict[str, Value] = {}
    for name in wanted:
        value = found.get(name, math.nan)
        values[name] = value[:LONGEST_TEXT] if isinstance(value, str) else value
    return values


def missing(wanted: Sequence[str], found: Mapping[str, Value]) -> list[str]:
    """Those that are wanted and that the picture has not."""
    return [name for name in wanted if name not in found]
