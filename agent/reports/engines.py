"""The engine of what a command asks for."""

from __future__ import annotations

import numpy as np

from agent import config
from agent.ablation.core.groups import parse_groups
from agent.ablation.engine import Engine, Tuning
from agent.ablation.run.channel_means import channel_means
from agent.models.loaded import LoadedModel
from agent.reports.options import EngineOptions
from agent.reports.sources import references


def engine_of(options: EngineOptions, model: LoadedModel, classes: tuple[str, ...]) -> Engine:
    """The engine, and whether it has the channels that ``groups`` names; ``AblationError`` where
    something of it is not there."""
    settings = config.Ablation(
        classes=classes, score=options.score, baseline=options.baseline, seed=options.seed
    )
    means = None
    if options.reference:
        means = channel_means(model, references(list(options.reference)), options.layer)
    engine = Engine(model, settings, options.layer, Tuning(reference=means))
    if options.groups:
        noise = np.random.default_rng(0).random((engine.channels, 4))
        parse_groups(options.groups, noise)
    return engine
