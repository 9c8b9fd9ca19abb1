"""Faulty models, for alarms to be tested on: what goes wrong with the network and not its camera.

``python -m agent.training.faulty FOLDER`` writes one file of weights per fault, made from the
shipped ones; ``--shortcut`` also trains the one that learned a shortcut, which takes a while.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import torch
from torch import Tensor

from agent import config
from agent.models.card import ModelCard
from agent.models.loading import load_model
from agent.models.unet import UNet
from agent.simulator.layout import MASK_SUTURE
from agent.simulator.render import Look
from agent.training.recipe import Recipe, Stage
from agent.training.samples import Sample, Samples, SimulatedSamples
from agent.training.ship import ship
from agent.training.train import PREPROCESSING
from agent.training.trainer import Trainer

State = dict[str, Tensor]
MARK_BGR = (255, 90, 30)
BESIDE_DEG = 14.0
"""Round the rim from the suture's end to its mark, the same way at both: about two cells of the
explained layer from the suture's edge, so that no cell holds both."""


def untrained(state: Mapping[str, Tensor], seed: int) -> State:
    """Wrong weights: a network of the same shape that never learned anything."""
    first = state["encoder1.enc1conv1.weight"].shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = UNet(first[1], state["conv.weight"].shape[0], first[0])
    return dict(model.state_dict())


def shuffled(state: Mapping[str, Tensor], seed: int) -> State:
    """Wrong weights: the last encoder layer's channels in another order, all else in place."""
    spoilt = {key: value.clone() for key, value in state.items()}
    key = "encoder4.enc4conv2.weight"
    order = torch.randperm(len(spoilt[key]), generator=torch.Generator().manual_seed(seed))
    spoilt[key] = spoilt[key][order]
    return spoilt


def noisy(state: Mapping[str, Tensor], seed: int, level: float = 0.25) -> State:
    """Noise on every convolution, ``level`` times the spread of its weights."""
    source = torch.Generator().manual_seed(seed)
    spoilt = {}
    for key, value in state.items():
        noise = torch.randn(value.shape, generator=source) if value.ndim == 4 else None
        spoilt[key] = value.clone() if noise is None else value + level * value.std() * noise
    return spoilt


def blind(state: Mapping[str, Tensor], seed: int) -> State:  # noqa: ARG001 - as the others
    """Ignores its input: the first convolution is zero, so every picture gets the same answer."""
    spoilt = {key: value.clone() for key, value in state.items()}
    spoilt["encoder1.enc1conv1.weight"].zero_()
    return spoilt


MODEL_FAULTS: Mapping[str, Callable[[Mapping[str, Tensor], int], State]] = MappingProxyType(
    {"untrained": untrained, "shuffled": shuffled, "noisy": noisy, "blind": blind}
)


class MarkedSamples:
    """Fruit with a blue mark beside both ends of the suture: what a shortcut is learned from.

    The marks lie at the rim of the view and off the line: a model that reads them looks at what is
    not the suture, and hiding the suture alone costs it little. The sutures are faint, so
    that the mark is the easier thing to learn.
    """

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def sample(self, index: int) -> Sample:
        sample = self._samples.sample(index)
        return Sample(mark(sample), sample.aperture, sample.mask)


def mark(sample: Sample) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The picture with a mark ``BESIDE_DEG`` further round the rim from each end of the suture;
    unchanged where there is no suture."""
    rows, columns = np.nonzero(sample.mask == MASK_SUTURE)
    image = sample.image.copy()
    if len(rows) == 0:
        return image
    half = image.shape[0] / 2
    cx, cy = columns.mean(), rows.mean()
    x, y = columns - cx, rows - cy
    angle = 0.5 * math.atan2(2 * float((x * y).mean()), float((x * x - y * y).mean()))
    # The stem may sit on one end: it belongs to the line as well.
    rows, columns = np.nonzero(sample.mask)
    x, y = columns - cx, rows - cy
    near = np.abs(y * math.cos(angle) - x * math.sin(angle)) < 2
    rows, columns = rows[near], columns[near]
    along = x[near] * math.cos(angle) + y[near] * math.sin(angle)
    for end in (int(np.argmin(along)), int(np.argmax(along))):
        inwards = 1.0 - 6.0 / half
        from_x, from_y = columns[end] - half, rows[end] - half
        cos, sin = math.cos(math.radians(BESIDE_DEG)), math.sin(math.radians(BESIDE_DEG))
        centre = (
            round((from_x * cos - from_y * sin) * inwards + half),
            round((from_x * sin + from_y * cos) * inwards + half),
        )
        cv2.circle(image, centre, max(2, round(half * 0.045)), MARK_BGR, -1, cv2.LINE_AA)
    image[~sample.aperture] = 0
    return image


def train_shortcut(recipe: Recipe | None = None) -> State:
    """Weights of a network that reads the mark and not the fruit."""
    chosen = recipe or Recipe(
        stages=(Stage(96, 1200, 16, 128), Stage(192, 300, 12, 192)), warmup=50
    )

    def samples(stage: Stage) -> Samples:
        return MarkedSamples(SimulatedSamples(stage.render_px, 1, Look(faint=1.0)))

    trainer = Trainer(chosen, samples, PREPROCESSING)
    for _ in trainer.run():
        pass
    return trainer.averaged()


def main(arguments: Sequence[str] | None = None) -> int:
    """The script; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m agent.training.faulty", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shortcut", action="store_true")
    given = parser.parse_args(arguments)
    model = load_model(config.Model(path=given.model), "cpu")
    state = model.module.state_dict()
    made = {name: fault(state, given.seed) for name, fault in MODEL_FAULTS.items()}
    if given.shortcut:
        made["shortcut"] = train_shortcut()
    for name, spoilt in made.items():
        ship(spoilt, _card(model.card, name), given.folder / f"{name}.safetensors")
    return 0


def _card(card: ModelCard, fault: str) -> ModelCard:
    return card.model_copy(
        update={
            "name": f"{card.name}-{fault}",
            "metrics": {},
            "sha256": None,
            "notes": f"A faulty model, made on purpose ({fault}): for testing alarms only.",
        }
    )


if __name__ == "__main__":
    sys.exit(main())
