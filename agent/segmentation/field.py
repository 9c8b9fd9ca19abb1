"""The round field of view on the network's grid, worked out once while it stays the same."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.models.pictures import ALPHA_INSIDE, Aperture, resize


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """``aperture`` as the picture has it, ``inside`` (h, w) bool on the grid; None: everything.

    ``cells`` counts the cells inside.
    """

    aperture: Aperture | None
    inside: NDArray[np.bool_] | None
    cells: int

    def is_of(self, aperture: Aperture | None) -> bool:
        """Whether this was worked out from the same aperture."""
        if aperture is None or self.aperture is None:
            return aperture is self.aperture
        return np.array_equal(aperture, self.aperture)

    def by_class(
        self, mask: NDArray[np.uint8], margin: NDArray[np.float32], classes: int
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Per class its share of the cells inside, and its mean margin there (NaN: no cell).

        ``mask``: (h, w) class indices; ``margin``: (h, w) of the predicted class.
        """
        areas: list[float] = []
        margins: list[float] = []
        for index in range(classes):
            chosen = mask == index
            if self.inside is not None:
                chosen &= self.inside
            count = int(np.count_nonzero(chosen))
            total = float(np.dot(margin.ravel(), chosen.ravel().astype(np.float32)))
            areas.append(count / max(self.cells, 1))
            margins.append(total / count if count else math.nan)
        return tuple(areas), tuple(margins)

    def mean(self, values: NDArray[np.float32]) -> float:
        """Mean of (h, w) values over the cells inside; 0 where there are none."""
        if self.inside is None:
            return float(values.mean())
        return float(np.dot(values.ravel(), self.inside.ravel().astype(np.float32))) / max(
            self.cells, 1
        )


def field_of_view(aperture: Aperture | None, width: int, height: int) -> Field:
    """The field of view of an (H, W) aperture: a cell is inside when half of it is."""
    if aperture is None:
        return Field(None, None, width * height)
    drawn = aperture.astype(np.uint8) * np.uint8(255)
    inside = resize(drawn, width, height) >= ALPHA_INSIDE
    return Field(aperture.copy(), inside, int(np.count_nonzero(inside)))
