"""The figure of one explained class: six panels under a line of facts, as one picture.

Top row: input, drawn mask, prediction. Bottom row for Ablation-CAM: the map on the layer's grid,
the map resized and smoothed, the overlay. For region occlusion: the cells, the course of the margin
over the occluded share, and the numbers.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from agent import drawing
from agent.ablation.core.regions import class_cells
from agent.ablation.core.scores import class_margin, rows
from agent.ablation.overlay import ColourRange, blended
from agent.ablation.result import EngineResult
from agent.ablation.studies.patches import extent
from agent.drawing import FAINT, Image
from agent.models.plausibility import LEAST_PLAUSIBLE
from agent.records import ClassExplanation
from agent.reports import occlusion_panels

SIDE_PX = 340
SQUARE = (SIDE_PX, SIDE_PX)
BAR_PX = 78
MESSAGE_SIGNS = 36
TITLE_PX, MARGIN_PX, HEADER_PX = 30, 14, 62


@dataclass(frozen=True, slots=True)
class Scene:
    """What a figure shows. ``image_bgr`` (H, W, 3); ``drawn`` class indices or None; ``index`` of
    the explained class; ``limits`` the map's colour range; ``plausibility`` NaN where the model
    cannot tell."""

    image_bgr: Image
    drawn: NDArray[np.uint8] | None
    result: EngineResult
    found: ClassExplanation
    index: int
    limits: ColourRange
    title: str
    plausibility: float = math.nan


def figure(scene: Scene, method: str = "ablation-cam") -> Image:
    """The six panels of a method (``options.METHODS``), or why there are none."""
    if not scene.found.explainable:
        return _assembled(scene, [("Not explainable", _message(scene.found.reason))])
    return FIGURES[method](scene)


def map_figure(scene: Scene, name: str) -> Image:
    """The six panels of the scene's map, whose ``name`` says what it is."""
    found, result = scene.found, scene.result
    own = _own(result, scene.index)
    grey = np.full((SIDE_PX, SIDE_PX, 3), 225, np.uint8)
    coarse = drawing.in_blocks(found.map, SQUARE)
    smooth = drawing.upsampled(found.map, SQUARE)
    limit = scene.limits.value
    height, width = found.map.shape
    return _assembled(
        scene,
        [
            (f"{name}, {width} x {height}", _signed(grey, coarse, limit)),
            ("Resized and smoothed", _signed(grey, smooth, limit)),
            ("Overlay, white line: predicted", _shown(_overlaid(scene, own))),
        ],
        bar=drawing.bar(SIDE_PX, BAR_PX, limit),
    )


def region_figure(scene: Scene) -> Image:
    """The six panels of region occlusion."""
    found, result = scene.found, scene.result
    region = _own(result, scene.index)
    height, width = found.map.shape
    cells = class_cells(region, result.aperture, (height, width), result.region_threshold)
    return _assembled(
        scene,
        [
            (
                f"Cells at the layer, {width} x {height}",
                occlusion_panels.cells(cells, region, SIDE_PX),
            ),
            (
                f"Margin of {found.class_name} when occluded",
                occlusion_panels.course(found, plain_margin(result, scene.index), SIDE_PX),
            ),
            ("Numbers at 100 %", occlusion_panels.table(found, SIDE_PX)),
        ],
    )


def occlusion_figure(scene: Scene) -> Image:
    """The six panels of occlusion sensitivity of the input."""
    found, result = scene.found, scene.result
    maps = result.study(found.class_name).patches
    assert maps is not None, "the study of patches comes first"
    limit = float(np.nanmax(np.abs(maps.drop))) or 1.0
    drop = np.nan_to_num(maps.drop)
    grey = np.full((SIDE_PX, SIDE_PX, 3), 225, np.uint8)
    shown = drawing.diverging(
        drawing.muted(drawing.scaled(scene.image_bgr, SIDE_PX)), _grown(drop, scene), limit
    )
    own = _own(result, scene.index)
    coarse = drawing.in_blocks(drop, SQUARE)
    if maps.dice is None:
        dice = ("Dice", _message("not measured: --no-dice"))
    else:
        lost = drawing.in_blocks(np.nan_to_num(1 - maps.dice), SQUARE)
        lowest = maps.dice[np.isfinite(maps.dice)]
        said = (
            f"Dice lost, at most {1 - lowest.min():.2f}"
            if lowest.size
            else "no Dice: none predicted"
        )
        dice = (f"{said} (1 in full colour)", _signed(grey, lost, 1.0))
    how = maps.settings
    title = f"Drop, {extent(how.size)} px hidden every {extent(how.stride)} ({how.fill})"
    return _assembled(
        replace(scene, limits=ColourRange(limit, fixed=False)),
        [
            (title, _signed(grey, coarse, limit)),
            dice,
            ("Overlay, white line: predicted", _shown(drawing.outlined(shown, own))),
        ],
        bar=drawing.bar(SIDE_PX, BAR_PX, limit),
    )


def _grown(values: NDArray[np.float32], scene: Scene) -> NDArray[np.float32]:
    height, width = drawing.scaled(scene.image_bgr, SIDE_PX).shape[:2]
    grown = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown, np.float32)


FIGURES: dict[str, Callable[[Scene], Image]] = {
    "ablation-cam": partial(map_figure, name="Ablation-CAM at the layer"),
    "occlusion": occlusion_figure,
    "hires": partial(map_figure, name="HiRes gradient map at the layer"),
    "seg-grad-cam": partial(map_figure, name="Seg-Grad-CAM at the layer"),
    "seg-eigen-cam": partial(map_figure, name="Seg-Eigen-CAM at the layer"),
    "region-occlusion": region_figure,
}


def _assembled(scene: Scene, bottom: list[tuple[str, Image]], bar: Image | None = None) -> Image:
    result = scene.result
    drawn = _message("none given") if scene.drawn is None else _classes(scene.drawn)
    top = [
        ("Input", _shown(scene.image_bgr)),
        ("Mask as drawn", drawn),
        ("Prediction", _classes(result.mask)),
    ]
    width = 3 * SIDE_PX + 4 * MARGIN_PX + BAR_PX
    row = TITLE_PX + SIDE_PX + MARGIN_PX
    out = drawing.canvas(HEADER_PX + 2 * row, width)
    room = width - 2 * MARGIN_PX
    title = drawing.shortened(_title(scene), room, 0.62, True)
    drawing.text(out, title, (MARGIN_PX, 26), 0.62, bold=True)
    drawing.text(out, drawing.shortened(_facts(scene), room, 0.46), (MARGIN_PX, 50), 0.46)
    for line, panels in enumerate((top, bottom)):
        y = HEADER_PX + line * row
        for place, (title, panel) in enumerate(panels):
            x = MARGIN_PX + place * (SIDE_PX + MARGIN_PX)
            drawing.text(out, drawing.shortened(title, SIDE_PX, 0.52), (x, y + 20), 0.52)
            out[y + TITLE_PX : y + TITLE_PX + SIDE_PX, x : x + SIDE_PX] = panel
            cv2.rectangle(
                out, (x - 1, y + TITLE_PX - 1), (x + SIDE_PX, y + TITLE_PX + SIDE_PX), FAINT, 1
            )
    if bar is not None:
        y = HEADER_PX + row
        drawing.text(
            out, "for" if scene.limits.fixed else "own scale", (width - BAR_PX, y + 20), 0.42
        )
        out[y + TITLE_PX : y + TITLE_PX + SIDE_PX, -BAR_PX:] = bar
        drawing.text(out, "against", (width - BAR_PX, out.shape[0] - 2), 0.42)
    return out


def _title(scene: Scene) -> str:
    plausibility = scene.plausibility
    if math.isnan(plausibility):
        return f"{scene.title}   plausibility unknown"
    said = "IMPLAUSIBLE, " if plausibility < LEAST_PLAUSIBLE else ""
    return f"{scene.title}   {said}plausibility {plausibility:.2f}"


def _facts(scene: Scene) -> str:
    found, result = scene.found, scene.result
    if not found.explainable:
        return found.reason
    parts = [
        f"{result.score} y = {found.y:.3f}",
        f"whole layer off: {found.y_all:.3f}",
        f"null control {abs(found.y_null - found.y):.1e} (allowed {found.null_tolerance:.1e})",
        f"spot check ch. {found.spot_channel}: {found.spot_error:.1e}",
        f"occluded in the input: {occlusion_panels.share(found.input_sensitivity_foreground)}, "
        f"as much background {occlusion_panels.share(found.input_sensitivity_background)}",
    ]
    return "   ".join(parts)


def _shown(image: Image) -> Image:
    return drawing.fitted(image, SIDE_PX, SIDE_PX)


def _classes(mask: NDArray[np.uint8]) -> Image:
    return drawing.fitted(drawing.class_picture(mask), SIDE_PX, SIDE_PX, smooth=False)


def _message(words: str) -> Image:
    out = np.full((SIDE_PX, SIDE_PX, 3), 240, np.uint8)
    lines = textwrap.wrap(words, MESSAGE_SIGNS)
    for place, content in enumerate(lines):
        x = (SIDE_PX - drawing.text_width(content, 0.5)) // 2
        drawing.text(out, content, (x, SIDE_PX // 2 + 22 * place - 11 * (len(lines) - 1)), 0.5)
    return out


def _signed(base: Image, values: object, limit: float) -> Image:
    return drawing.diverging(base, np.asarray(values, np.float32), limit)


def _overlaid(scene: Scene, own: NDArray[np.bool_]) -> Image:
    picture = drawing.scaled(scene.image_bgr, SIDE_PX)
    return blended(picture, scene.found.map, scene.limits.value, own)


def plain_margin(result: EngineResult, index: int) -> float:
    """The margin of a class over its own pixels, with nothing occluded."""
    logits = torch.from_numpy(result.logits).unsqueeze(0)
    own = rows(logits, torch.from_numpy(_own(result, index)))
    return float(class_margin(own, index).mean())


def _own(result: EngineResult, index: int) -> NDArray[np.bool_]:
    """(h, w): the pixels predicted as a class, inside the aperture."""
    return np.asarray((result.mask == index) & result.aperture, np.bool_)
