"""Pictures for people, drawn with OpenCV and numpy alone. Colours are BGR.

The two ends of the scale are a vermilion and a blue that stay apart for every common kind of colour
blindness, and nothing is said by colour only: the bar carries its values, the text its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Pixel = TypeVar("Pixel", np.uint8, np.float32, np.float64)

FOR = (0, 94, 213)
AGAINST = (178, 114, 0)
USUAL_FOR, USUAL_AGAINST = (20, 125, 245), (205, 120, 20)
STRONG_FOR, STRONG_AGAINST = (0, 20, 90), (70, 20, 0)
OPAQUE = 0.9
"""How much of the base is covered where a map is as strong as usual."""
LEVELS = 1000
"""Strengths that ``against_usual`` tells apart on either side."""
INK, PAPER, FAINT = (30, 30, 30), (255, 255, 255), (150, 150, 150)
CLASS_COLOURS = (
    (0, 0, 0),
    (255, 255, 255),
    (20, 220, 80),
    (233, 180, 86),
    (66, 228, 240),
    (167, 121, 204),
)
"""By class index; the first three as in the masks that people draw: white bar, green stem."""

GAP_PX, LINE_PX = 12, 20
"""Of a sheet of pictures."""

FONT = cv2.FONT_HERSHEY_SIMPLEX


def canvas(height: int, width: int) -> Image:
    return np.full((height, width, 3), PAPER, np.uint8)


def text(
    image: Image,
    words: str,
    at: tuple[int, int],
    size: float = 0.5,
    colour: tuple[int, int, int] = INK,
    bold: bool = False,
) -> int:
    """Write at the left end of the base line ``at`` (x, y); returns the width in pixels.

    Signs outside ASCII become '?': OpenCV 4's fonts have no others.
    """
    plain = words.encode("ascii", "replace").decode("ascii")
    thickness = 2 if bold else 1
    cv2.putText(image, plain, at, FONT, size, colour, thickness, cv2.LINE_AA)
    return text_width(plain, size, bold)


def text_width(words: str, size: float = 0.5, bold: bool = False) -> int:
    return int(cv2.getTextSize(words, FONT, size, 2 if bold else 1)[0][0])


def shortened(words: str, width: int, size: float = 0.5, bold: bool = False) -> str:
    """``words``, cut with '...' where they would be wider than ``width`` pixels."""
    if text_width(words, size, bold) <= width:
        return words
    while words and text_width(words + "...", size, bold) > width:
        words = words[:-1]
    return words + "..."


def number(value: float) -> str:
    """Three significant digits with a sign, short enough for a bar."""
    if not np.isfinite(value):
        return "-"
    return "0" if value == 0 else f"{value:+.3g}"


def scaled(image: Image, side: int) -> Image:
    """``image`` with its longer side at ``side`` pixels."""
    return _resized(image, side / max(image.shape[:2]))


def fitted(image: Image, width: int, height: int, *, smooth: bool = True) -> Image:
    """``image`` scaled to fit (width, height), its shape kept, centred on paper."""
    scale = min(width / image.shape[1], height / image.shape[0])
    small = _resized(image, scale, smooth=smooth)
    out = canvas(height, width)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return out


def _resized(image: Image, scale: float, *, smooth: bool = True) -> Image:
    """``image`` times ``scale``, no side below a pixel. Not ``smooth``: no colours are mixed."""
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    method = (cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC) if smooth else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


def in_colour(image: Image) -> Image:
    """(H, W) or (H, W, C) -> (H, W, 3): grey in three equal channels, alpha left out."""
    picture = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(picture[..., :3])


def in_blocks(values: NDArray[Pixel], size: tuple[int, int]) -> NDArray[Pixel]:
    """(h, w[, 3]) -> ``size`` = (H, W): every value as a block of its own, none mixed."""
    return np.asarray(cv2.resize(values, size[::-1], interpolation=cv2.INTER_NEAREST), values.dtype)


def upsampled(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(h, w) -> ``size`` = (H, W), interpolated and smoothed over about a cell.

    Linear, never cubic: a cubic overshoots, and would show more evidence than any cell holds.
    """
    height, width = size
    grown = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    sigma_x, sigma_y = 0.4 * width / values.shape[1], 0.4 * height / values.shape[0]
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), sigma_x, sigmaY=sigma_y), np.float32)


def diverging(base: Image, values: NDArray[np.float32], value_range: float) -> Image:
    """Lay ``values`` (H, W) over ``base`` (H, W, 3): nothing at 0, full colour at +-range."""
    share = np.clip(values / value_range, -1, 1)[..., None].astype(np.float32)
    opacity = 0.85 * np.abs(share) ** 0.75
    colour = np.where(share >= 0, np.asarray(FOR, np.float32), np.asarray(AGAINST, np.float32))
    mixed = base.astype(np.float32) * (1 - opacity) + colour * opacity
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)


def against_usual(base: Image, values: NDArray[np.float32], usual: float, strong: float) -> Image:
    """Lay ``values`` (H, W) over ``base`` (H, W, 3), so that what is usual can be read well.

    0 leaves the base; up to +-``usual`` an orange or a blue covers it; from there to +-``strong``,
    which is at least ``usual``, that colour darkens, and beyond nothing changes. On a pale base
    each colour is darker than all weaker ones.
    """
    steps = np.linspace(-strong, strong, 2 * LEVELS + 1, dtype=np.float32)[:, None]
    size, negative = np.abs(steps), steps < 0
    cover = OPAQUE * np.clip(size / usual, 0, 1) ** 0.8
    deep = np.clip((size - usual) / max(strong - usual, 1e-6 * usual), 0, 1)
    colour = np.where(negative, USUAL_AGAINST, USUAL_FOR) * (1 - deep)
    colour += np.where(negative, STRONG_AGAINST, STRONG_FOR) * deep
    place = np.clip(np.rint(values * (LEVELS / strong)), -LEVELS, LEVELS).astype(np.intp) + LEVELS
    laid = (colour * cover).astype(np.float32)[place]
    mixed = base * (1 - cover).astype(np.float32)[place] + laid
    return np.asarray(np.rint(mixed), np.uint8)


def pale(image: Image) -> Image:
    """The picture in a light grey, on which every colour of ``against_usual`` stands out."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return np.repeat(np.rint(160 + grey * 0.35).astype(np.uint8)[..., None], 3, axis=2)


def muted(image: Image) -> Image:
    """The picture in grey, so that a fruit's own warm colours are not taken for evidence."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return np.repeat(np.rint(40 + grey * 0.75).astype(np.uint8)[..., None], 3, axis=2)


def outlined(image: Image, mask: NDArray[np.bool_]) -> Image:
    """Draw the contour of ``mask`` (any grid) over ``image``: white between two dark lines."""
    size = (image.shape[1], image.shape[0])
    grown = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) >= 0.5
    contours, _ = cv2.findContours(grown.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    out = image.copy()
    cv2.drawContours(out, contours, -1, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.drawContours(out, contours, -1, (255, 255, 255), 1, cv2.LINE_AA)
    return out


def bar(height: int, width: int, value_range: float) -> Image:
    """A vertical colour bar from +range to -range with its three values beside it."""
    out = canvas(height, width)
    top, bottom, thick = 10, height - 10, 18
    values = np.linspace(value_range, -value_range, bottom - top, dtype=np.float32)
    strip = np.repeat(values[:, None], thick, axis=1)
    grey = np.full((bottom - top, thick, 3), 128, np.uint8)
    out[top:bottom, 2 : 2 + thick] = diverging(grey, strip, value_range)
    cv2.rectangle(out, (2, top), (2 + thick, bottom), INK, 1)
    for share, value in ((0.0, value_range), (0.5, 0.0), (1.0, -value_range)):
        y = round(top + share * (bottom - top))
        cv2.line(out, (2 + thick, y), (6 + thick, y), INK, 1)
        text(out, number(value), (9 + thick, y + 5), 0.42)
    return out


def sheet(
    lines: Sequence[str], tiles: Sequence[tuple[Image, Sequence[str]]], side: int, columns: int
) -> Image:
    """(H, W, 3): ``lines`` of text, and below them the tiles, ``columns`` to a row.

    A tile is a picture, fitted to a square of ``side`` pixels, under lines of its own. The first of
    several lines is bold; what is too long is cut.
    """
    columns = max(1, min(columns, len(tiles)))
    step, caption = side + GAP_PX, LINE_PX * max((len(words) for _, words in tiles), default=0)
    top, width = LINE_PX * len(lines) + 2 * GAP_PX, GAP_PX + max(2 * side, columns * step)
    out = canvas(top + -(-len(tiles) // columns) * (caption + step), width)
    _write_lines(out, lines, (GAP_PX, GAP_PX // 2), width - 2 * GAP_PX, 0.55)
    for place, (image, words) in enumerate(tiles):
        row, column = divmod(place, columns)
        x, y = GAP_PX + column * step, top + row * (caption + step)
        _write_lines(out, words, (x, y - GAP_PX // 2), side, 0.45)
        y += caption
        out[y : y + side, x : x + side] = fitted(image, side, side)
        cv2.rectangle(out, (x - 1, y - 1), (x + side, y + side), FAINT, 1)
    return out


def _write_lines(
    image: Image, lines: Sequence[str], at: tuple[int, int], room: int, size: float
) -> None:
    for place, words in enumerate(lines):
        bold = place == 0 and len(lines) > 1
        height = size if bold else 0.88 * size
        base_line = (at[0], at[1] + (place + 1) * LINE_PX - 3)
        text(image, shortened(words, room, height, bold), base_line, height, bold=bold)


def class_picture(mask: NDArray[np.uint8]) -> Image:
    """(h, w) class indices -> colours; an index without a colour of its own is grey."""
    table = np.full((256, 3), 128, np.uint8)
    table[: len(CLASS_COLOURS)] = CLASS_COLOURS
    return table[mask]
