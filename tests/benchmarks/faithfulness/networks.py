"""The networks: the shipped one, and one that others made, trained on simulated fruit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from agent import config
from agent.ablation.adapt import explainable
from agent.models import pictures
from agent.models.loaded import LoadedModel
from agent.models.loading import load_model
from agent.training.augment import augment
from agent.training.loss import segmentation_loss
from agent.training.recipe import Recipe
from agent.training.samples import SimulatedSamples
from agent.training.trainer import fit_mask
from tests.support.peers import peer

CLASSES = ("background", "suture", "stem")
ENCODER, LAYER = "resnet18", "encoder.layer2"
BATCH, RATE = 8, 2e-3
Say = Callable[[str], None]


def shipped() -> LoadedModel:
    """The model inside the package, at its card's layer."""
    return load_model(config.Model())


def foreign(cache: Path, size_px: int, steps: int, say: Say) -> LoadedModel:
    """Unet of segmentation_models_pytorch for inputs of ``size_px``, random weights trained for so
    many ``steps``; kept in ``cache``, and taken from there the next time."""
    torch.manual_seed(0)
    library = peer("segmentation_models_pytorch")
    module = library.Unet(ENCODER, encoder_weights=None, classes=len(CLASSES))
    path = cache / f"unet-{ENCODER}-{size_px}px-{steps}.safetensors"
    settings = config.Preprocessing(width_px=size_px, height_px=size_px)
    if not path.exists():
        _train(module, settings, steps, say)
        save_file({k: v.contiguous() for k, v in module.state_dict().items()}, path)
    module.load_state_dict(load_file(path))
    for parameter in module.eval().parameters():
        parameter.requires_grad_(False)
    return explainable(module, CLASSES, settings, layer=LAYER)


def _train(module: torch.nn.Module, settings: config.Preprocessing, steps: int, say: Say) -> None:
    samples, weights = SimulatedSamples(), torch.tensor(Recipe().class_weights)
    optimiser = torch.optim.AdamW(module.parameters(), lr=RATE)
    warm = max(1, steps // 20)
    module.train()
    started, losses = time.monotonic(), []
    for step in range(steps):
        made = [
            augment(samples.sample(index), np.random.default_rng([0, index]))
            for index in range(step * BATCH, (step + 1) * BATCH)
        ]
        fitted = [pictures.fit(one.image, one.aperture, settings) for one in made]
        x = pictures.to_tensor(fitted, settings, torch.device("cpu"))
        wanted = torch.from_numpy(
            np.stack([fit_mask(one, settings.width_px) for one in made])
        ).long()
        share = min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimiser.param_groups:
            group["lr"] = RATE * max(share, 0.01)
        loss = segmentation_loss(module(x), wanted, weights)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
        if (step + 1) % 50 == 0:
            spent = time.monotonic() - started
            say(
                f"training: step {step + 1} of {steps}, loss {np.mean(losses[-50:]):.3f}, "
                f"{spent:.0f} s"
            )
