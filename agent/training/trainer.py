"""The training loop: seeded, resumable to the bit, with a running average of the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from agent.config import Preprocessing
from agent.models import pictures
from agent.models.unet import UNet
from agent.storage.whole_file import whole_file
from agent.training.augment import augment
from agent.training.errors import TrainingError
from agent.training.loss import segmentation_loss
from agent.training.recipe import Recipe, Stage
from agent.training.samples import Sample, Samples

SamplesFor = Callable[[Stage], Samples]
CHECKPOINT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Step:
    """What one step says of itself."""

    step: int
    steps: int
    loss: float
    rate: float
    size_px: int


class Trainer:
    """Takes steps; ``samples_for`` gives the data of a stage. Nothing is random but the seed.

    Each sample and its augmentation depend on (recipe seed, index) alone and each step on its
    number, so a run that was interrupted and resumed ends with the weights of one that was not.
    """

    def __init__(
        self,
        recipe: Recipe,
        samples_for: SamplesFor,
        preprocessing: Preprocessing,
        device: str = "cpu",
    ) -> None:
        self.recipe = recipe
        self.device = torch.device(device)
        self.step = 0
        self._samples_of = lru_cache(maxsize=1)(samples_for)
        self._preprocessing = preprocessing
        with torch.random.fork_rng(devices=[]):  # the caller's random state stays as it is
            torch.manual_seed(recipe.seed)
            model = UNet(3, len(recipe.class_weights), recipe.features)
        self.model = model.to(self.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._weights = torch.tensor(recipe.class_weights, device=self.device)
        self._optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
        )
        self._average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        """Begin with these weights instead of random ones; ``TrainingError`` for other shapes."""
        wanted = self.model.state_dict()
        for key, value in wanted.items():
            if key.endswith("num_batches_tracked"):
                continue
            if key not in state or state[key].shape != value.shape:
                found = tuple(state[key].shape) if key in state else "nothing"
                raise TrainingError(f"start: {key}: expected {tuple(value.shape)}, found {found}")
            value.copy_(state[key])
        self._average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def run(self, until: int | None = None) -> Iterator[Step]:
        """Steps up to ``until`` (default: the recipe's end), one at a time.

        The next batch is drawn in a thread while the network works on this one.
        """
        end = self.recipe.steps if until is None else min(until, self.recipe.steps)
        with ThreadPoolExecutor(1, "batch") as ahead:
            batch = ahead.submit(self._batch, self.step) if self.step < end else None
            while batch is not None:
                x, target = batch.result()
                batch = ahead.submit(self._batch, self.step + 1) if self.step + 1 < end else None
                yield self._one(x, target)

    def averaged(self) -> dict[str, Tensor]:
        """The averaged weights, float32 on the CPU: what is evaluated and shipped."""
        return {key: value.cpu().clone() for key, value in self._average.items()}

    def _one(self, x: Tensor, target: Tensor) -> Step:
        stage, _ = self.recipe.at(self.step)
        rate = self.recipe.rate(self.step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        half = self.recipe.bfloat16 and self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            logits = self.model(x)
        loss = segmentation_loss(logits.float(), target, self._weights)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimiser.step()
        self._blend()
        value = float(loss.detach())
        if not np.isfinite(value):
            raise TrainingError(f"the loss is {value} at step {self.step}")
        self.step += 1
        return Step(self.step, self.recipe.steps, value, rate, stage.size_px)

    def _blend(self) -> None:
        # A short memory at first, so that the average does not start with random weights.
        keep = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for key, value in self.model.state_dict().items():
                if value.dtype.is_floating_point:
                    self._average[key].lerp_(value, 1 - keep)
                else:
                    self._average[key].copy_(value)

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """(N, 3, h, w) float input and (N, h, w) long classes of this step."""
        stage, first = self.recipe.at(step)
        samples = self._samples_of(stage)
        settings = self._preprocessing.model_copy(
            update={"width_px": stage.size_px, "height_px": stage.size_px}
        )

        def one(index: int) -> tuple[pictures.Picture, pictures.Picture]:
            rng = np.random.default_rng([self.recipe.seed, index])
            made = augment(samples.sample(index), rng)
            return pictures.fit(made.image, made.aperture, settings), fit_mask(made, stage.size_px)

        made = [one(index) for index in range(first, first + stage.batch)]
        x = pictures.to_tensor([picture for picture, _ in made], settings, self.device)
        target = torch.from_numpy(np.stack([mask for _, mask in made])).to(self.device).long()
        return x, target

    def save(self, path: Path) -> None:
        """Write a checkpoint; the old one survives whatever befalls the new one."""
        state = {
            "version": CHECKPOINT_VERSION,
            "fingerprint": self.recipe.fingerprint(),
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self._average,
            "optimiser": self._optimiser.state_dict(),
        }
        try:
            with whole_file(path) as file:
                torch.save(state, file)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            raise TrainingError(f"{path}: the checkpoint could not be written: {error}") from error

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint of the same recipe; ``TrainingError`` for any other file."""
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            found, version = state["fingerprint"], state["version"]
        except Exception as error:  # torch.load raises whatever the bytes make it raise
            raise TrainingError(f"{path}: not a checkpoint of this trainer: {error}") from error
        if version != CHECKPOINT_VERSION or found != self.recipe.fingerprint():
            raise TrainingError(
                f"{path}: made by recipe {found} (version {version}), "
                f"this is {self.recipe.fingerprint()} (version {CHECKPOINT_VERSION})"
            )
        self.model.load_state_dict(state["model"])
        self._average = {k: v.clone() for k, v in state["average"].items()}
        self._optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])


def fit_mask(sample: Sample, size_px: int) -> pictures.Picture:
    """The mask at the network's size: each class's share of a cell by area, the largest wins."""
    if sample.mask.shape == (size_px, size_px):
        return sample.mask
    shares = [
        cv2.resize(
            (sample.mask == index).astype(np.uint8) * np.uint8(255),
            (size_px, size_px),
            interpolation=cv2.INTER_AREA,
        )
        for index in range(int(sample.mask.max()) + 1)
    ]
    return np.asarray(np.argmax(np.stack(shares), 0), np.uint8)
