"""The pixels M that an explanation is about: a class's prediction, or a part of the picture.

Whatever M is, it is frozen before anything is perturbed. Boxes and masks are in pixels of the
picture as it was given; they are brought to the network's grid as class masks are: each pixel of
the grid takes the value at its place.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.ablation.core.arguments import integer
from agent.ablation.core.errors import AblationError
from agent.ablation.core.regions import Mask, nearest

FORMS = "predicted, component[:N], box:X,Y,WIDTH,HEIGHT or mask:FILE"


class Focus(abc.ABC):
    """What M is. Made by the functions below, which check what they are given."""

    @property
    @abc.abstractmethod
    def source(self) -> str:
        """How a record names it: ``predicted``, ``component:1``, ``box:8,8,20,12``, ``mask``."""

    @abc.abstractmethod
    def pixels(self, class_index: int, prediction: Mask, size: tuple[int, int]) -> Mask:
        """(h, w) bool: M on the network's grid. ``prediction`` (h, w) bool is the class's own,
        inside the aperture; ``size`` (H, W) is the picture's.

        Empty where there is no such thing in the picture. ``AblationError`` for a box that does not
        lie in the picture and for a mask of another size.
        """

    @abc.abstractmethod
    def why_empty(self, class_name: str) -> str:
        """Why there is no pixel of M inside the aperture."""


@dataclass(frozen=True, slots=True)
class _Predicted(Focus):
    source = "predicted"

    def pixels(self, class_index: int, prediction: Mask, size: tuple[int, int]) -> Mask:
        return prediction

    def why_empty(self, class_name: str) -> str:
        return f"no pixel of {class_name} in the predicted mask"


PREDICTED = _Predicted()


@dataclass(frozen=True, slots=True)
class Classes(Focus):
    """``indices`` (h, w) uint8 on the network's grid, in place of the predicted mask."""

    indices: NDArray[np.uint8]
    source = "true"

    def pixels(self, class_index: int, prediction: Mask, size: tuple[int, int]) -> Mask:
        return np.asarray(self.indices == class_index, np.bool_)

    def why_empty(self, class_name: str) -> str:
        return f"no pixel of {class_name} in the true mask"


@dataclass(frozen=True, slots=True)
class _Component(Focus):
    """``number`` counts the connected parts of the class's prediction from 1, the largest first."""

    number: int

    @property
    def source(self) -> str:
        return f"component:{self.number}"

    def pixels(self, class_index: int, prediction: Mask, size: tuple[int, int]) -> Mask:
        count, labels, stats, _ = cv2.connectedComponentsWithStats(
            prediction.astype(np.uint8), connectivity=8
        )
        if self.number > count - 1:
            return np.zeros_like(prediction)
        areas = stats[1:, cv2.CC_STAT_AREA]
        label = 1 + int(np.argsort(-areas, kind="stable")[self.number - 1])
        return np.asarray(labels == label, np.bool_)

    def why_empty(self, class_name: str) -> str:
        return f"the prediction of {class_name} has no connected part number {self.number}"


class _Drawn(Focus):
    """Pixels of the picture, whatever is predicted there."""

    @abc.abstractmethod
    def drawn(self, size: tuple[int, int]) -> Mask:
        """(H, W) bool of the picture's own size."""

    def pixels(self, class_index: int, prediction: Mask, size: tuple[int, int]) -> Mask:
        return nearest(self.drawn(size), (prediction.shape[0], prediction.shape[1]))

    def why_empty(self, class_name: str) -> str:
        return f"no pixel of {self.source} lies inside the aperture"


@dataclass(frozen=True, slots=True)
class _Box(_Drawn):
    """``box`` is x, y, width, height."""

    box: tuple[int, int, int, int]

    @property
    def source(self) -> str:
        return "box:" + ",".join(map(str, self.box))

    def drawn(self, size: tuple[int, int]) -> Mask:
        x, y, width, height = self.box
        if x < 0 or y < 0 or x + width > size[1] or y + height > size[0]:
            raise AblationError(
                f"box {x},{y},{width},{height} does not lie in the picture, which is {size[1]} x "
                f"{size[0]} pixels"
            )
        out = np.zeros(size, np.bool_)
        out[y : y + height, x : x + width] = True
        return out


@dataclass(frozen=True, slots=True)
class _Mask(_Drawn):
    mask: Mask
    source = "mask"

    def drawn(self, size: tuple[int, int]) -> Mask:
        if self.mask.shape != size:
            raise AblationError(
                f"the mask of the region is {self.mask.shape[1]} x {self.mask.shape[0]} pixels, "
                f"the picture {size[1]} x {size[0]}"
            )
        return self.mask


def component(number: int = 1) -> Focus:
    """The ``number``-th largest connected part of a class's prediction, from 1."""
    number = integer("component", number)
    if number < 1:
        raise AblationError(f"component {number}: components are counted from 1, the largest first")
    return _Component(number)


def box(x: int, y: int, width: int, height: int) -> Focus:
    """A rectangle of the picture, in its pixels, whatever is predicted there."""
    x, y = integer("box: x", x), integer("box: y", y)
    width, height = integer("box: width", width), integer("box: height", height)
    if width < 1 or height < 1:
        raise AblationError(f"box {x},{y},{width},{height}: width and height must be at least 1")
    return _Box((x, y, width, height))


def given(mask: Mask) -> Focus:
    """The pixels of a (H, W) bool mask of the picture's size, whatever is predicted there."""
    if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype != np.bool_:
        found = f"{mask.shape} {mask.dtype}" if isinstance(mask, np.ndarray) else type(mask)
        raise AblationError(f"a mask must be (H, W) bool, found {found}")
    return _Mask(mask)


def parse_focus(words: str) -> Focus | str:
    """The focus that ``words`` name, or the file that is to be read for ``mask:FILE``.

    ``AblationError`` naming the forms that there are.
    """
    name, _, rest = words.partition(":")
    if name == "predicted" and not rest:
        return PREDICTED
    if name == "component" and (rest.isdecimal() or words == name):
        return component(int(rest or 1))
    if name == "box":
        parts = [part.strip() for part in rest.split(",")]
        if len(parts) == 4 and all(part.lstrip("-").isdecimal() for part in parts):
            x, y, width, height = map(int, parts)
            return box(x, y, width, height)
    if name == "mask" and rest:
        return rest
    raise AblationError(f"no region {words!r}; a region is {FORMS}")
