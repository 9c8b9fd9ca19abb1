"""The pixels M that an explanation is about: a class's prediction, or a part of the picture.

Whatever M is, it is frozen before anything is perturbed. Boxes and masks are in pixels of the
picture as it was given; they are brought to the network's grid as class masks are: each pixel of
the grid takes the value at its place.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import cv2
import numpy as np

from agent.ablation.core.errors import AblationError
from agent.ablation.core.regions import Mask, nearest

FORMS = "predicted, component[:N], box:X,Y,WIDTH,HEIGHT or mask:FILE"


class FocusKind(enum.StrEnum):
    PREDICTED = "predicted"
    COMPONENT = "component"
    BOX = "box"
    MASK = "mask"


@dataclass(frozen=True, slots=True)
class Focus:
    """What M is. Made by the functions below, which check what they are given.

    ``component`` counts the connected parts of the class's prediction from 1, the largest first;
    ``box`` is x, y, width, height in pixels of the picture; ``mask`` (H, W) bool is of the
    picture's own size.
    """

    kind: FocusKind = FocusKind.PREDICTED
    component: int = 0
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    mask: Mask | None = None

    @property
    def source(self) -> str:
        """How a record names it: ``predicted``, ``component:1``, ``box:8,8,20,12``, ``mask``."""
        match self.kind:
            case FocusKind.COMPONENT:
                return f"component:{self.component}"
            case FocusKind.BOX:
                return "box:" + ",".join(map(str, self.box))
            case _:
                return str(self.kind)


PREDICTED = Focus()


def component(number: int = 1) -> Focus:
    """The ``number``-th largest connected part of a class's prediction, from 1."""
    if number < 1:
        raise AblationError(f"component {number}: components are counted from 1, the largest first")
    return Focus(FocusKind.COMPONENT, component=number)


def box(x: int, y: int, width: int, height: int) -> Focus:
    """A rectangle of the picture, in its pixels, whatever is predicted there."""
    if width < 1 or height < 1:
        raise AblationError(f"box {x},{y},{width},{height}: width and height must be at least 1")
    return Focus(FocusKind.BOX, box=(x, y, width, height))


def given(mask: Mask) -> Focus:
    """The pixels of a (H, W) bool mask of the picture's size, whatever is predicted there."""
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise AblationError(f"a mask must be (H, W) bool, found {mask.shape} {mask.dtype}")
    return Focus(FocusKind.MASK, mask=mask)


def parse_focus(words: str) -> Focus | str:
    """The focus that ``words`` name, or the file that is to be read for ``mask:FILE``.

    ``AblationError`` naming the forms that there are.
    """
    name, _, rest = words.partition(":")
    if name == FocusKind.PREDICTED and not rest:
        return PREDICTED
    if name == FocusKind.COMPONENT and (rest.isdecimal() or words == name):
        return component(int(rest or 1))
    if name == FocusKind.BOX:
        parts = [part.strip() for part in rest.split(",")]
        if len(parts) == 4 and all(part.lstrip("-").isdecimal() for part in parts):
            x, y, width, height = map(int, parts)
            return box(x, y, width, height)
    if name == FocusKind.MASK and rest:
        return rest
    raise AblationError(f"no region {words!r}; a region is {FORMS}")


def pixels(focus: Focus, prediction: Mask, size: tuple[int, int]) -> Mask:
    """(h, w) bool: M on the network's grid. ``prediction`` (h, w) bool is the class's own, inside
    the aperture; ``size`` (H, W) is the picture's.

    Empty where the prediction has no such component. ``AblationError`` for a box that does not lie
    in the picture and for a mask of another size.
    """
    match focus.kind:
        case FocusKind.PREDICTED:
            return prediction
        case FocusKind.COMPONENT:
            return _component(prediction, focus.component)
        case FocusKind.BOX:
            chosen = _boxed(focus, size)
        case FocusKind.MASK:
            chosen = _masked(focus, size)
    return nearest(chosen, (prediction.shape[0], prediction.shape[1]))


def _component(prediction: Mask, number: int) -> Mask:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        prediction.astype(np.uint8), connectivity=8
    )
    if number > count - 1:
        return np.zeros_like(prediction)
    areas = stats[1:, cv2.CC_STAT_AREA]
    label = 1 + int(np.argsort(-areas, kind="stable")[number - 1])
    return np.asarray(labels == label, np.bool_)


def _boxed(focus: Focus, size: tuple[int, int]) -> Mask:
    x, y, width, height = focus.box
    if x < 0 or y < 0 or x + width > size[1] or y + height > size[0]:
        raise AblationError(
            f"box {x},{y},{width},{height} does not lie in the picture, which is {size[1]} x "
            f"{size[0]} pixels"
        )
    out = np.zeros(size, np.bool_)
    out[y : y + height, x : x + width] = True
    return out


def _masked(focus: Focus, size: tuple[int, int]) -> Mask:
    mask = focus.mask
    if mask is None or mask.shape != size:
        found = "none" if mask is None else f"{mask.shape[1]} x {mask.shape[0]}"
        raise AblationError(
            f"the mask of the region is {found} pixels, the picture {size[1]} x {size[0]}"
        )
    return mask
