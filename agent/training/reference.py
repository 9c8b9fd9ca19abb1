"""One fixed colour range per class for the maps of an explanation, from a reference set."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from agent import config
from agent.ablation.engine import Engine
from agent.models.loaded import LoadedModel
from agent.training.samples import Sample

QUANTILE = 0.99


def overlay_ranges(model: LoadedModel, samples: Iterable[Sample]) -> dict[str, float]:
    """Per foreground class the 99 % quantile over the samples of the largest |map| of a picture.

    A class that was found in no sample has no range.
    """
    engine = Engine(model, config.Ablation(classes=model.classes[1:]))
    peaks: dict[str, list[float]] = {name: [] for name in model.classes[1:]}
    for sample in samples:
        for found in engine.explain(sample.image, sample.aperture).classes:
            if found.explainable:
                peaks[found.class_name].append(float(np.abs(found.map).max()))
    return {
        name: round(float(np.quantile(values, QUANTILE)), 6)
        for name, values in peaks.items()
        if values
    }
