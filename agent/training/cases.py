"""What a model is judged on: pictures with everything known about them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.segmentation.line import fit_line
from agent.simulator.layout import MASK_STEM, MASK_SUTURE
from agent.simulator.machine import SEEDS_PER_RUN
from agent.simulator.render import READABLE_FROM, Look, Renderer
from agent.training.samples import Sample


@dataclass(frozen=True, slots=True)
class Case:
    """A sample with its name and truth. ``angle_deg`` NaN: none; ``readable``: a reading is due;
    ``contrast``: visible contrast of the suture, NaN where not known."""

    name: str
    sample: Sample
    angle_deg: float
    stem_x_px: float
    stem_y_px: float
    empty: bool
    readable: bool
    contrast: float


def simulated_cases(
    seed: int, count: int, size_px: int = 256, look: Look | None = None, empty: float = 0.05
) -> Iterator[Case]:
    """Fruit and empty cups of one simulator seed; never a fruit that training uses."""
    renderer = Renderer(size_px)
    for index in range(count):
        number = seed * SEEDS_PER_RUN + index
        is_empty = np.random.default_rng([29, number]).random() < empty
        render = renderer.empty_cup(number) if is_empty else renderer.fruit(number, look)
        contrast = math.nan if is_empty else renderer.visible_contrast(number, look)
        truth = render.truth
        yield Case(
            name=f"seed {number}",
            sample=Sample(render.image, render.aperture, render.mask),
            angle_deg=truth.angle_deg,
            stem_x_px=truth.stem_x_px,
            stem_y_px=truth.stem_y_px,
            empty=is_empty,
            readable=not is_empty and contrast >= READABLE_FROM,
            contrast=contrast,
        )


def annotated_case(name: str, sample: Sample) -> Case:
    """A picture whose only truth is its mask: angle and stem are measured on the mask."""
    rows, columns = np.nonzero(sample.mask == MASK_SUTURE)
    line = fit_line(columns.astype(np.float64), rows.astype(np.float64), np.ones(len(rows)))
    stem_rows, stem_columns = np.nonzero(sample.mask == MASK_STEM)
    found: NDArray[np.bool_] = sample.mask > 0
    return Case(
        name=name,
        sample=sample,
        angle_deg=math.nan if line is None else line.angle_deg,
        stem_x_px=float(stem_columns.mean()) if len(stem_columns) else math.nan,
        stem_y_px=float(stem_rows.mean()) if len(stem_rows) else math.nan,
        empty=not found.any(),
        readable=line is not None,
        contrast=math.nan,
    )
