"""One picture of the maps of many layers: where in the network a class takes form."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent import config, drawing
from agent.ablation.core.errors import AblationError
from agent.ablation.core.focus import Focus
from agent.ablation.engine import Engine
from agent.ablation.overlay import blended, colour_range
from agent.ablation.result import EngineResult
from agent.drawing import FAINT, Image
from agent.models.checks import probe_batch
from agent.models.layers import layer_names
from agent.models.loaded import LoadedModel

SIDE_PX, GAP_PX, TEXT_PX, HEADER_PX = 220, 12, 44, 54
COLUMNS = 6


@dataclass(frozen=True, slots=True)
class Cell:
    """One layer's result, or why there is none."""

    layer: str
    result: EngineResult | None
    reason: str = ""


def matching_layers(model: LoadedModel, pattern: str) -> list[str]:
    """The layers that give feature maps and fit the pattern (as of file names), in call order."""
    names = layer_names(model.module, probe_batch(model)[:1])
    chosen = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
    if not chosen:
        raise AblationError(
            f"{model.name}: no layer fits {pattern!r}; there are: {', '.join(names) or 'none'}"
        )
    return chosen


def layer_sheet(
    model: LoadedModel,
    settings: config.Ablation,
    image: NDArray[np.uint8],
    focus: Focus | None,
    pattern: str,
    progress: Callable[[int, int], None],
) -> Image:
    """The maps of every matching layer over the picture, each on its own scale.

    A layer at which an explanation is refused is shown with the reason. The zero baseline is used:
    reference means belong to one layer.
    """
    lean = settings.model_copy(
        update={"baseline": "zero", "fractions": (1.0,), "background_draws": 1}
    )
    layers = matching_layers(model, pattern)
    cells = []
    for done, layer in enumerate(layers):
        progress(done, len(layers))
        try:
            result = Engine(model, lean, layer).explain(image, region=focus)
            cells.append(Cell(layer, result))
        except AblationError as error:
            cells.append(Cell(layer, None, str(error)))
    progress(len(layers), len(layers))
    return _drawn(cells, image, model, settings)


def _drawn(
    cells: list[Cell], image: NDArray[np.uint8], model: LoadedModel, settings: config.Ablation
) -> Image:
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    width = max(2 * SIDE_PX, columns * (SIDE_PX + GAP_PX)) + GAP_PX
    out = drawing.canvas(HEADER_PX + rows * (SIDE_PX + TEXT_PX + GAP_PX), width)
    title = f"{settings.classes[0]}: Ablation-CAM at {len(cells)} layers of {model.name}"
    room = width - 2 * GAP_PX
    drawing.text(out, drawing.shortened(title, room, 0.62, True), (GAP_PX, 24), 0.62, bold=True)
    note = "each on its own scale, printed as the value in full colour; white line: predicted"
    drawing.text(out, drawing.shortened(note, room, 0.44), (GAP_PX, 44), 0.44)
    small = drawing.scaled(drawing.in_colour(image), SIDE_PX)
    for place, cell in enumerate(cells):
        row, column = divmod(place, columns)
        x = GAP_PX + column * (SIDE_PX + GAP_PX)
        y = HEADER_PX + row * (SIDE_PX + TEXT_PX + GAP_PX)
        panel, facts = _panel(cell, small, model)
        name = drawing.shortened(cell.layer, SIDE_PX, 0.45, True)
        drawing.text(out, name, (x, y + 15), 0.45, bold=True)
        drawing.text(out, drawing.shortened(facts, SIDE_PX, 0.4), (x, y + 34), 0.4)
        out[y + TEXT_PX : y + TEXT_PX + SIDE_PX, x : x + SIDE_PX] = drawing.fitted(
            panel, SIDE_PX, SIDE_PX
        )
        cv2.rectangle(out, (x - 1, y + TEXT_PX - 1), (x + SIDE_PX, y + TEXT_PX + SIDE_PX), FAINT, 1)
    return out


def _panel(cell: Cell, small: Image, model: LoadedModel) -> tuple[Image, str]:
    if cell.result is None:
        return drawing.muted(small), cell.reason
    found = cell.result.classes[0]
    if not found.explainable:
        return drawing.muted(small), found.reason
    own = (cell.result.mask == model.classes.index(found.class_name)) & cell.result.aperture
    limits = colour_range(found, None, None)
    height, width = found.map.shape
    facts = (
        f"{found.deltas.size} x {width} x {height}, "
        f"layer off {found.y_all - found.y:+.2f}, +-{limits.value:.2g}"
    )
    return blended(small, found.map, limits.value, own), facts
