"""The suture as a straight band: what a fitted line says of every cell of the picture.

A network's own mask is its evidence, blobs and side branches included. The machine cuts along one
straight line, so what the reading says can be drawn as a band and compared with the truth apart
from the mask. The mask itself is never replaced by it: explanations are about what the network
predicted.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from agent.segmentation.line import Line

REACH = 3.0
"""Cells farther from the line than this many median distances are blobs and branches: across an
evenly filled bar the median and the mean distance from its middle are a quarter of its width."""


def straight_band(
    line: Line, suture: NDArray[np.bool_], free: NDArray[np.bool_], scale: tuple[float, float]
) -> NDArray[np.bool_]:
    """(h, w) bool: the band along ``line`` over the cells that are ``free`` for it.

    ``suture``: (h, w), the cells predicted to be suture, whose mean distance from the line, far
    ones left out, gives the band's width, so that no width has to be known. ``free``: (h, w),
    inside the aperture and no stem. ``scale``: pixels per cell, x and y; ``line`` is in pixels. All
    False without suture.
    """
    if not suture.any():
        return np.zeros_like(suture)
    rows, columns = suture.shape
    radians = math.radians(line.angle_deg)
    x = (np.arange(columns) + 0.5) * scale[0] - 0.5 - line.x
    y = (np.arange(rows) + 0.5) * scale[1] - 0.5 - line.y
    away = np.abs(x[None, :] * math.sin(radians) + y[:, None] * math.cos(radians))
    distances = away[suture]
    near = distances[distances <= REACH * float(np.median(distances)) + max(scale) / 2]
    half_width = 2.0 * float(near.mean()) if len(near) else 0.0
    return np.asarray((away <= half_width) & free)
