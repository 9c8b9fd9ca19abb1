"""A contact sheet of renders, and where wanted a real picture hidden among them.

``python -m agent.simulator.sheet sheet.png --seed 3 --beside picture.png`` puts the picture at a
place drawn from the seed and does not say where: whoever looks at the sheet says which is real.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from agent import drawing
from agent.drawing import Image
from agent.simulator.machine import SEEDS_PER_RUN
from agent.simulator.render import Look, Renderer

COLUMNS = 5


def contact_sheet(
    seed: int,
    count: int = 24,
    size_px: int = 256,
    look: Look | None = None,
    real: Image | None = None,
) -> Image:
    """``count`` fruit of a seed; ``real`` (any size) takes a place among them."""
    renderer = Renderer(size_px)
    images = [renderer.fruit(seed * SEEDS_PER_RUN + i, look).image for i in range(count)]
    view = np.zeros((size_px, size_px), np.uint8)  # one outline for all: none is told by its own
    cv2.circle(view, (size_px // 2, size_px // 2), round(0.48 * size_px), 1, -1)
    if real is not None:
        fitted = cv2.resize(real[..., :3], (size_px, size_px), interpolation=cv2.INTER_AREA)
        place = int(np.random.default_rng([seed, 37]).integers(count + 1))
        images.insert(place, np.asarray(fitted, np.uint8))
    tiles = [(np.asarray(cv2.bitwise_and(i, i, mask=view), np.uint8), ()) for i in images]
    return drawing.sheet((), tiles, size_px, COLUMNS)


def main(arguments: Sequence[str] | None = None) -> int:
    """The script; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m agent.simulator.sheet", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--variety", default=None)
    parser.add_argument("--beside", type=Path, default=None)
    given = parser.parse_args(arguments)
    real: Image | None = None
    if given.beside is not None:
        found = cv2.imread(str(given.beside))
        if found is None:
            parser.error(f"{given.beside}: cannot be read as a picture")
        real = np.asarray(found, np.uint8)
    look = Look(given.variety)
    sheet = contact_sheet(given.seed, given.count, given.size, look, real)
    if not cv2.imwrite(str(given.out), sheet):
        parser.error(f"{given.out}: cannot be written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
