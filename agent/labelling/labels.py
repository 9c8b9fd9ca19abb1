"""What readers of labels give, whatever tool they came from, and the classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLASSES = ("suture", "stem")
"""As class 1 and 2 of a mask. Where both were drawn a pixel is stem, in whatever order they were
drawn: so the cavity lies over the suture on every fruit."""
COLOURS = {"suture": (255, 255, 255), "stem": (0, 255, 0)}


@dataclass(frozen=True, slots=True)
class Shape:
    """``draw(height, width)`` gives the mask, or raises ``ValueError``."""

    label: str
    draw: Callable[[int, int], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Labelled:
    """The labels of one picture. ``size``: height and width as the file says; None: it does not.
    ``problem``: why they cannot be used, empty for nothing."""

    picture: str
    size: tuple[int, int] | None
    shapes: tuple[Shape, ...]
    problem: str = ""


def base_name(path: str) -> str:
    """The name of a file, whichever way its folders are separated."""
    return path.replace("\\", "/").rpartition("/")[2]


def cannot_draw(reason: str) -> Callable[[int, int], NDArray[np.bool_]]:
    """For a shape that is none of a mask."""

    def draw(_height: int, _width: int) -> NDArray[np.bool_]:
        raise ValueError(reason)

    return draw
