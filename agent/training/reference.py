"""One fixed colour range per class for the maps of an explanation, from a reference set."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from agent import config
from agent.ablation.engine import Engine
from agent.ablation.run.channel_means import channel_means
from agent.models.loaded import LoadedModel
from agent.training.samples import Sample

QUANTILE = 0.99
MEAN_DIGITS = 6


def layer_means(model: LoadedModel, samples: Iterable[Sample]) -> dict[str, tuple[float, ...]]:
    """The mean of each channel of the model's own layer over the samples, by the layer's name: what
    the baseline ``mean`` needs. Empty for a model that names no layer."""
    if model.layer is None:
        return {}
    found = channel_means(model, ((s.image, s.aperture) for s in samples), model.layer)
    return {model.layer: tuple(round(float(value), MEAN_DIGITS) for value in found)}


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
