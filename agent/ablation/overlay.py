"""The picture of one explanation: the signed map of a class over the frame.

The colour range is fixed and given: scaling each picture to its own largest value would turn noise
into a full picture and hide a change of strength. What the map cannot show is said by its bar (the
values) and by the record (sensitivities, controls), never by the look of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent import drawing
from agent.ablation.core.arguments import integer, number
from agent.ablation.core.errors import AblationError
from agent.ablation.result import EngineResult
from agent.config import Score
from agent.drawing import Image
from agent.models.card import ModelCard
from agent.records import ClassExplanation, Overlay

LIMIT_BYTES = 60_000
SIDE_PX = 480
BAR_PX = 84
HEADER_PX, FOOTER_PX = 30, 28
QUALITY_STEPS = (85, 75, 65, 55, 45)
CONTENT_TYPE = "image/jpeg"


@dataclass(frozen=True, slots=True)
class ColourRange:
    """``value`` is drawn in full colour; ``fixed`` is false when it was taken from this picture."""

    value: float
    fixed: bool


def colour_range(
    found: ClassExplanation,
    configured: float | None,
    reference: Mapping[str, float] | None,
) -> ColourRange:
    """The configured range, else the reference set's for this class, else this picture's own."""
    if configured is not None:
        return ColourRange(configured, fixed=True)
    if reference is not None and reference.get(found.class_name, 0.0) > 0:
        return ColourRange(reference[found.class_name], fixed=True)
    own = float(np.abs(found.map).max()) if found.map.size else 0.0
    return ColourRange(own if own > 0 else 1.0, fixed=False)


def card_ranges(card: ModelCard, result: EngineResult) -> Mapping[str, float] | None:
    """The card's range of each class, or None where it says nothing about this result.

    The card's ranges were taken at its own layer, of margins against the zero baseline; the maps of
    another layer or score are of another magnitude, and would come out blank or all saturated.
    """
    same_layer = card.layer is None or card.layer == result.layer
    same_numbers = result.score == Score.MARGIN and result.baseline == "zero"
    return card.overlay_range if same_layer and same_numbers else None


def render_overlay(
    image_bgr: Image,
    found: ClassExplanation,
    value_range: ColourRange | float,
    mask: NDArray[np.bool_] | None = None,
    quality: int = QUALITY_STEPS[0],
) -> Overlay:
    """JPEG of at most 60 KB: map, outline of the predicted ``mask`` (any grid), bar and words.

    ``image_bgr`` is (H, W, 3) uint8 of any size; it is scaled to ``SIDE_PX``. A class that cannot
    be explained gives the picture with its reason. A busy picture is compressed harder, then made
    smaller, until it fits.
    """
    quality = integer("quality", quality, 1, 100)
    if not isinstance(value_range, ColourRange):
        value_range = number("value_range", value_range)
        if value_range < 0:
            raise AblationError(f"value_range: expected at least 0, found {value_range}")
    if not isinstance(image_bgr, np.ndarray) or image_bgr.dtype != np.uint8:
        raise AblationError("an overlay is drawn on a picture of (H, W, 3) uint8")
    limits = value_range if isinstance(value_range, ColourRange) else ColourRange(value_range, True)
    picture = _labelled(image_bgr, found, limits, mask)
    data, size = _encoded(picture, quality)
    return Overlay(
        class_name=found.class_name,
        content_type=CONTENT_TYPE,
        data=data,
        width_px=size[0],
        height_px=size[1],
        value_range=limits.value,
        range_fixed=limits.fixed,
    )


def blended(
    image_bgr: Image,
    values: NDArray[np.float32],
    value_range: float,
    mask: NDArray[np.bool_] | None = None,
) -> Image:
    """The signed map (h, w) over the greyed picture (H, W, 3), without words."""
    smooth = drawing.upsampled(values, (image_bgr.shape[0], image_bgr.shape[1]))
    out = drawing.diverging(drawing.muted(image_bgr), smooth, value_range)
    return out if mask is None else drawing.outlined(out, mask)


def _labelled(
    image: Image, found: ClassExplanation, limits: ColourRange, mask: NDArray[np.bool_] | None
) -> Image:
    shown = drawing.scaled(image, SIDE_PX)
    height, width = shown.shape[:2]
    bar_height = max(height, 120)
    out = drawing.canvas(HEADER_PX + bar_height + FOOTER_PX, max(width, 240) + BAR_PX)
    room = out.shape[1] - 12
    if found.explainable:
        shown = blended(shown, found.map, limits.value, mask)
        bar = drawing.bar(bar_height, BAR_PX, limits.value)
        out[HEADER_PX : HEADER_PX + bar_height, -BAR_PX:] = bar
        title = f"{found.class_name}: what the model used"
        _legend(out, found, limits)
    else:
        shown = drawing.muted(shown)
        title = found.reason or "not explainable"
    out[HEADER_PX : HEADER_PX + height, :width] = shown
    drawing.text(out, drawing.shortened(title, room, 0.55, True), (6, 20), 0.55, bold=True)
    return out


def _legend(out: Image, found: ClassExplanation, limits: ColourRange) -> None:
    y = out.shape[0] - 9
    x = 6
    for colour, words in (
        (drawing.FOR, f"for {found.class_name}"),
        (drawing.AGAINST, "against"),
    ):
        cv2.rectangle(out, (x, y - 11), (x + 12, y + 1), colour, -1)
        x += 18 + drawing.text(out, words, (x + 17, y), 0.45) + 16
    note = "white line: predicted" if limits.fixed else "white line: predicted; own scale"
    drawing.text(out, drawing.shortened(note, out.shape[1] - x - 6, 0.42), (x, y), 0.42)


def _encoded(picture: Image, quality: int) -> tuple[bytes, tuple[int, int]]:
    """JPEG bytes within the limit, and (width, height) of what was encoded."""
    steps = [quality, *(step for step in QUALITY_STEPS if step < quality)]
    while True:
        for step in steps:
            done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, step])
            if done and data.size <= LIMIT_BYTES:
                return data.tobytes(), (picture.shape[1], picture.shape[0])
        size = (max(1, picture.shape[1] * 3 // 4), max(1, picture.shape[0] * 3 // 4))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
