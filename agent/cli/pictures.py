"""Pictures for the commands that take a set of them: a folder, or ``sim:`` for simulated fruit."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.options import one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agent.reports.sources import Shot

REFERENCE_PICTURES = 32
"""At most so many pictures make the means of the baseline: they settle long before."""


def shots(source: str, count: int) -> list[Shot]:
    """At most ``count`` pictures of a folder; ``count`` fruit of ``sim:?seed=..``, whose alpha is
    the field of view. The end of the program for a folder or a URL that is none."""
    from agent.ablation.core.errors import AblationError
    from agent.reports.sources import folder_shots
    from agent.simulator.parameters import ParameterError

    with one_line(AblationError, ParameterError):
        if source.startswith("sim:"):
            return _simulated(source, count)
        return folder_shots(Path(source))[:count]


def reference_shots(source: str | None) -> list[Shot]:
    """The pictures that make the means of the baseline; none without a source."""
    return shots(source, REFERENCE_PICTURES) if source is not None else []


def _simulated(url: str, count: int) -> list[Shot]:
    from agent.reports.sources import Shot
    from agent.simulator.parameters import parse_url
    from agent.simulator.render import Renderer

    settings = parse_url(url)
    renderer = Renderer(settings.size_px or 256)

    def drawn(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        import numpy as np

        render = renderer.fruit(seed, settings.look)
        alpha = np.where(render.aperture, np.uint8(255), np.uint8(0))
        return np.dstack((render.image, alpha)), render.mask

    first = settings.machine.seed
    return [Shot(f"fruit-{seed}", partial(drawn, seed)) for seed in range(first, first + count)]
