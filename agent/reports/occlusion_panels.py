"""Panels about region occlusion: which cells, how the margin goes, the numbers."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from agent import drawing
from agent.ablation.core.regions import ClassCells
from agent.drawing import AGAINST, FAINT, FOR, INK, Image
from agent.records import ClassExplanation, Region


def share(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3f}"


def cells(found: ClassCells, region: NDArray[np.bool_], side: int) -> Image:
    """(side, side): foreground and background cells on the layer's grid, the region outlined."""
    small = np.full((*found.foreground.shape, 3), 225, np.uint8)
    small[found.background] = AGAINST
    small[found.foreground] = FOR
    return drawing.outlined(drawing.in_blocks(small, (side, side)), region)


def course(found: ClassExplanation, start: float, side: int) -> Image:
    """Margin inside the region over the occluded share of foreground or background.

    ``start`` is the margin with nothing occluded.
    """
    out = np.full((side, side, 3), 255, np.uint8)
    left, right, top, bottom = 62, side - 28, 34, side - 36
    curves = [
        (Region.FOREGROUND, FOR, "foreground"),
        (Region.BACKGROUND, AGAINST, "background"),
    ]
    points = {
        region: [(0.0, start)]
        + [(o.fraction, o.margin_inside) for o in found.occlusions if o.region is region]
        for region, _, _ in curves
    }
    values = [v for line in points.values() for _, v in line]
    low, high = min(values), max(values)
    pad = max(0.05 * (high - low), 1e-3)
    low, high = low - pad, high + pad

    def place(share: float, value: float) -> tuple[int, int]:
        x = left + share * (right - left)
        return round(x), round(bottom - (value - low) / (high - low) * (bottom - top))

    cv2.rectangle(out, (left, top), (right, bottom), FAINT, 1)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, _ = place(share, low)
        cv2.line(out, (x, bottom), (x, bottom + 4), INK, 1)
        drawing.text(out, f"{share * 100:.0f} %", (x - 16, bottom + 20), 0.4)
    for value in (low + pad, high - pad):
        drawing.text(out, f"{value:.2f}", (6, place(0, value)[1] + 4), 0.4)
    x = left
    for region, colour, name in curves:
        line = np.array([place(*point) for point in points[region]], np.int32)
        cv2.polylines(out, [line], False, colour, 2, cv2.LINE_AA)
        for point in line.tolist():
            cv2.circle(out, tuple(point), 3, colour, -1, cv2.LINE_AA)
        cv2.rectangle(out, (x, 12), (x + 12, 24), colour, -1)
        x += 34 + drawing.text(out, name, (x + 17, 23), 0.42)
    return out


def table(found: ClassExplanation, side: int) -> Image:
    """The occlusions at 100 % as a table, and the shares made of them."""
    out = np.full((side, side, 3), 255, np.uint8)
    columns = (10, 150, 205, 275)
    heads = ("occluded", "cells", "margin", "Dice")
    for x, words in zip(columns, heads, strict=True):
        drawing.text(out, words, (x, 28), 0.44, bold=True)
    y = 54
    for o in found.occlusions:
        if o.fraction == 1.0:
            row = (
                str(o.region).replace("_", " "),
                str(o.cells),
                f"{o.margin_inside:.2f}",
                "-" if math.isnan(o.dice) else f"{o.dice:.3f}",
            )
            for x, words in zip(columns, row, strict=True):
                drawing.text(out, words, (x, y), 0.44)
            y += 26
    y += 14
    shares = (
        ("foreground", found.sensitivity_foreground, found.input_sensitivity_foreground),
        ("background equal", found.sensitivity_background, found.input_sensitivity_background),
        ("context reliance", found.context_reliance, found.input_context_reliance),
    )
    lines = [("sensitivity", "at the layer", "in the input")]
    lines += [(name, share(layer), share(whole)) for name, layer, whole in shares]
    for place, line in enumerate(lines):
        for x, words in zip((10, 150, 245), line, strict=True):
            drawing.text(out, words, (x, y), 0.44, bold=place == 0)
        y += 24
    drawing.text(out, "Skips of earlier levels bypass an occlusion", (columns[0], y + 8), 0.42)
    drawing.text(out, "at the layer; nothing bypasses the input.", (columns[0], y + 30), 0.42)
    return out
