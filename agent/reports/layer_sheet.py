"""One picture of the maps of many layers: where in the network a class takes form."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from agent import config, drawing
from agent.ablation.core.errors import AblationError
from agent.ablation.core.focus import Focus
from agent.ablation.engine import Engine
from agent.ablation.overlay import blended, colour_range
from agent.ablation.result import EngineResult
from agent.drawing import Image
from agent.models.checks import probe_batch
from agent.models.layers import layer_names
from agent.models.loaded import LoadedModel

SIDE_PX, COLUMNS = 220, 6


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
    small = drawing.scaled(drawing.in_colour(image), SIDE_PX)
    tiles = []
    for done, layer in enumerate(layers):
        progress(done, len(layers))
        try:
            result = Engine(model, lean, layer).explain(image, region=focus)
        except AblationError as error:
            picture, facts = drawing.muted(small), str(error)
        else:
            picture, facts = _panel(result, small, model)
        tiles.append((picture, (layer, facts)))
    progress(len(layers), len(layers))
    title = f"{settings.classes[0]}: Ablation-CAM at {len(layers)} layers of {model.name}"
    note = "each on its own scale, printed as the value in full colour; white line: predicted"
    return drawing.sheet((title, note), tiles, SIDE_PX, COLUMNS)


def _panel(result: EngineResult, small: Image, model: LoadedModel) -> tuple[Image, str]:
    found = result.classes[0]
    if not found.explainable:
        return drawing.muted(small), found.reason
    own = (result.mask == model.classes.index(found.class_name)) & result.aperture
    limits = colour_range(found, None, None)
    height, width = found.map.shape
    facts = (
        f"{found.deltas.size} x {width} x {height}, "
        f"layer off {found.y_all - found.y:+.2f}, +-{limits.value:.2g}"
    )
    return blended(small, found.map, limits.value, own), facts
