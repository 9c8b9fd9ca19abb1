"""The statistics of fruit that a model card holds, and the command that makes them anew.

    python -m agent.training.plausibility [--model FILE] [--folder FOLDER] [--layer NAME ...]

writes them into the card beside the weights (without ``--model``: the shipped ones). The fruit are
simulated ones of every variety, in two groups: in the middle of the view and moved in it, as they
are and as other cameras and lamps would show them. With a folder, the line's own pictures are half
of them. Nothing is random: the same weights on the same computer give the same card.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from agent import config
from agent.config.load import load_config
from agent.config.problems import ConfigErrors
from agent.models import pictures
from agent.models.card import FruitGroup, FruitStatistics, card_path, packed
from agent.models.errors import ModelError
from agent.models.loaded import LoadedModel, logits
from agent.models.loading import default_weights, load_model
from agent.models.plausibility import FruitSpace, Watched
from agent.models.unet import UNet
from agent.training.augment import augment
from agent.training.errors import TrainingError
from agent.training.folder import FolderSamples, Pair, check_pairs, find_pairs, split_pairs
from agent.training.samples import Sample, Samples, SimulatedSamples, moved
from agent.training.ship import update_card

Floats = NDArray[np.float64]

UNET_LAYERS = (
    "encoder1.enc1relu2",
    "encoder2.enc2relu2",
    "encoder3.enc3relu2",
    "encoder4.enc4relu2",
    "decoder1.dec1relu2",
)
"""Of the built-in network: chosen among its levels and their combinations by how far the nearest
of the choosing kinds of other things lies beyond the limit (README)."""
FRUIT = 3200
"""Of each group; half as many others set its limit."""
LEAST_FRUIT = 200
SEED = 41
"""Of the simulator's training seeds: fruit that no other step of training uses."""
BATCH = 16
SHRINKAGE = 0.02
"""Share of the identity in the covariance of the standardised numbers: directions in which fruit
hardly differ must not decide alone."""
LEAST_VARIANCE = 0.12
"""Principal axes below this are summed up as one variance."""
MOST_VALUES = 120_000
"""Numbers of a group's axes: so two groups in half precision stay within the limit of a card."""
LEAST_SCALE = 1e-3
"""Of the median scale: numbers that are the same on all fruit (a dead map) divide by no zero."""
FARTHEST_MOVE = 0.3
"""In diameters of the view: what a free-running camera sees of a fruit at its best."""
DIMMEST = 0.4


def still(sample: Sample, index: int) -> Sample:
    """Fruit in the middle of the view: of each twenty thirteen as they are, six as other cameras,
    lamps and lenses would show them, one under a dimmer lamp."""
    rng = np.random.default_rng([43, index])
    if index % 20 < 13:
        return sample
    if index % 20 < 19:
        return augment(sample, rng)
    dim = (sample.image * rng.uniform(DIMMEST, 1.0)).astype(np.uint8)
    return Sample(dim, sample.aperture, sample.mask)


def passing_by(sample: Sample, index: int) -> Sample:
    """Fruit moved in the view, of each four one as another camera would show it."""
    rng = np.random.default_rng([44, index])
    away = moved(sample, rng, 0.0, FARTHEST_MOVE)
    return augment(away, rng) if index % 4 == 0 else away


def as_it_is(sample: Sample, _index: int) -> Sample:
    """The fruit, unchanged."""
    return sample


Change = Callable[[Sample, int], Sample]


@dataclass(frozen=True, slots=True)
class Group:
    """``fitted``: what the statistics are taken of; ``ordinary``: whose ``within`` quantile of
    distances is the limit. ``free_run``: counts for free-running cameras alone."""

    name: str
    fitted: Change
    ordinary: Change
    within: float
    free_run: bool = False


GROUPS = (
    # A larger quantile was not taken: each step outwards lets in more of what is no fruit, while a
    # fruit in five hundred is lost among those that are not read anyway.
    Group("still", still, as_it_is, 0.998),
    # Apart, because it lets in more: some round fruit of other kinds are as near to it as peaches.
    # A free-running camera takes the best of several pictures, so one in twenty may be left out.
    Group("moved", passing_by, passing_by, 0.95, free_run=True),
)


def layers_of(model: LoadedModel) -> tuple[str, ...]:
    """Which layers are watched: several levels of the built-in network, else the layer that the
    model names. ``TrainingError`` for a model that names none."""
    if isinstance(model.module, UNet):
        return UNET_LAYERS
    if model.layer is None:
        raise TrainingError(f"{model.label}: names no layer whose maps could be watched")
    return (model.layer,)


def fruit_statistics(
    model: LoadedModel,
    fruit: int = FRUIT,
    pairs: tuple[Pair, ...] = (),
    layers: tuple[str, ...] = (),
    told: Callable[[str], None] = lambda _words: None,
) -> FruitStatistics:
    """Statistics of so many ``fruit`` a group. ``pairs``: the line's own pictures, of which those
    that training holds out set the limit too, where theirs is the larger.

    ``told`` hears what was done. Raises ``TrainingError`` for too few fruit, and for layers that
    are not there.
    """
    if fruit < LEAST_FRUIT:
        raise TrainingError(f"{fruit} fruit are too few for statistics: at least {LEAST_FRUIT}")
    watched = Watched(model.module, layers or layers_of(model))
    if watched.missing:
        raise TrainingError(f"{model.label}: no layer {', '.join(watched.missing)} to be watched")
    kept, held = split_pairs(pairs)
    simulated = SimulatedSamples(256, SEED, empty=0.0, passing=0.0)
    sources: list[Samples] = [simulated, FolderSamples(kept)] if kept else [simulated]

    def sample(index: int) -> Sample:
        return sources[index % len(sources)].sample(index // len(sources))

    groups = []
    for group in GROUPS:
        made = (group.fitted(sample(i), i) for i in range(fruit))
        found = _fitted(group.name, rows_of(model, watched, made))
        told(f"{group.name}: {fruit} fruit")
        others = (group.ordinary(simulated.sample(i), i) for i in range(fruit, fruit + fruit // 2))
        limit = _limit(found, rows_of(model, watched, others), group.within)
        if held:
            own = (group.ordinary(pair.load(), i) for i, pair in enumerate(held))
            limit = max(limit, _limit(found, rows_of(model, watched, own), group.within))
        told(f"{group.name}: limit {limit:.4f}")
        update = {"limit": round(limit, 4), "free_run": group.free_run}
        groups.append(found.model_copy(update=update))
    other = model.preprocessing != model.card.preprocessing
    return FruitStatistics(
        weights_sha256=model.sha256,
        preprocessing=model.preprocessing if other else None,
        layers=watched.layers,
        groups=tuple(groups),
    )


def _limit(group: FruitGroup, rows: Floats, within: float) -> float:
    return float(np.quantile(FruitSpace(group).distances(rows), within))


def rows_of(model: LoadedModel, watched: Watched, samples: Iterable[Sample]) -> Floats:
    """(n, D) pooled numbers of the samples; ``TrainingError`` where the layers give none."""
    rows, coming = [], iter(samples)
    while batch := list(islice(coming, BATCH)):
        fitted = [pictures.fit(one.image, one.aperture, model.preprocessing) for one in batch]
        with torch.inference_mode(), watched.watching():
            logits(model, pictures.to_tensor(fitted, model.preprocessing, model.device))
        found = watched.taken(len(batch))
        if found is None:
            raise TrainingError(f"{model.label}: its layers give no maps, or several a picture")
        rows.append(found)
    return np.concatenate(rows)


def _fitted(name: str, rows: Floats) -> FruitGroup:
    """Everything but the limit, which is 1 still."""
    centre, scale = rows.mean(0), rows.std(0)
    scale = np.maximum(scale, max(LEAST_SCALE * float(np.median(scale)), 1e-6))
    covariance = np.cov((rows - centre) / scale, rowvar=False)
    width = len(centre)
    covariance = (1.0 - SHRINKAGE) * covariance + SHRINKAGE * np.eye(width)
    variances, vectors = np.linalg.eigh(covariance)
    variances, vectors = variances[::-1], vectors[:, ::-1]
    many = int(np.count_nonzero(variances >= LEAST_VARIANCE))
    many = max(1, min(many, MOST_VALUES // width, width - 1))
    return FruitGroup(
        name=name,
        fruit=len(rows),
        width=width,
        centre=packed(centre, "<f4"),
        scale=packed(scale, "<f4"),
        variances=tuple(round(float(value), 6) for value in variances[:many]),
        axes=packed(vectors[:, :many].T, "<f2"),
        rest=round(float(variances[many:].mean()), 6),
        limit=1.0,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The script; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m agent.training.plausibility")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", type=Path, default=None, help="weights (default: the shipped)")
    which.add_argument("--config", type=Path, default=None, help="the model that this file names")
    parser.add_argument("--folder", type=Path, default=None, help="the line's pictures and masks")
    parser.add_argument("--layer", action="append", default=[], help="may be repeated")
    parser.add_argument("--fruit", type=int, default=FRUIT, help="of each group")
    given = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        settings = _model_settings(given.model, given.config)
        path = settings.path or default_weights()
        model = load_model(settings, "cpu")
        pairs = find_pairs(given.folder) if given.folder else ()
        check_pairs(pairs)
        layers = tuple(given.layer)
        found = fruit_statistics(model, given.fruit, pairs, layers, console.print)
        update_card(model.card.model_copy(update={"plausibility": found}), path)
    except (ConfigErrors, ModelError, TrainingError) as error:
        console.print(str(error), markup=False)
        return 1
    console.print(f"wrote {card_path(path)}")
    return 0


def _model_settings(weights: Path | None, file: Path | None) -> config.Model:
    if file is None:
        return config.Model(path=weights)
    settings = load_config(file).config.model
    if settings.path is None and settings.factory is not None:
        raise TrainingError(f"{settings.factory}: has no file of weights to lay a card beside")
    return settings


if __name__ == "__main__":
    sys.exit(main())
