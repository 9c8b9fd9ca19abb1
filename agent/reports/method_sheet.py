"""One picture of the maps of all methods, side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent import drawing
from agent.ablation.overlay import blended
from agent.ablation.studies.methods import MethodMap
from agent.drawing import Image

SIDE_PX, COLUMNS, REASON_SIGNS = 220, 4, 34


def method_sheet(
    title: str, image: NDArray[np.uint8], own: NDArray[np.bool_], maps: Sequence[MethodMap]
) -> Image:
    """Every map over the picture, on its own scale; ``own`` (h, w) is what is predicted. A method
    that has no map is shown with the reason."""
    small = drawing.scaled(drawing.in_colour(image), SIDE_PX)
    tiles: list[tuple[Image, tuple[str, ...]]] = []
    for one in maps:
        if one.map is None:
            words = textwrap.wrap(one.reason, REASON_SIGNS)
            tiles.append((drawing.muted(small), (one.name, *words)))
            continue
        values = np.nan_to_num(one.map)
        limit = float(np.abs(values).max()) or 1.0
        facts = one.reason or f"{one.seconds:.3f} s, {one.passes} passes, +-{limit:.2g}"
        tiles.append((blended(small, values, limit, own), (one.name, facts)))
    note = "each on its own scale, printed as the value in full colour; white line: predicted"
    return drawing.sheet((title, note), tiles, SIDE_PX, COLUMNS)
