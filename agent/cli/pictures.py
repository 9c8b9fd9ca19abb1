"""Pictures for the commands that take a set of them: a folder, or ``sim:`` for simulated fruit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agent.reports.sources import Shot

SCHEME = "sim:"


def shots(source: str, count: int) -> list[Shot]:
    """At most ``count`` pictures of a folder; ``count`` fruit of ``sim:?seed=..``, whose alpha is
    the field of view. ``AblationError`` for a folder, ``ParameterError`` for a URL that is none."""
    from agent.reports.sources import folder_shots

    if not source.startswith(SCHEME):
        return folder_shots(Path(source))[:count]
    return _simulated(source, count)


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
    return [
        Shot(f"fruit-{seed}", lambda seed=seed: drawn(seed))  # type: ignore[misc]
        for seed in range(first, first + count)
    ]
