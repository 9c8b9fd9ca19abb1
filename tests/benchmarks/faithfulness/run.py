"""Measuring picture by picture: what is measured is kept, so that a run can be taken up again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from agent import config
from agent.ablation.engine import Engine, Tuning
from agent.models.loaded import LoadedModel
from agent.simulator.render import Renderer
from tests.benchmarks.faithfulness import networks
from tests.benchmarks.faithfulness.picture import Numbers, Protocol, measure
from tests.benchmarks.faithfulness.tables import Measured

FIRST_SEED, RENDER_PX = 7000, 256
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """``cache``: where the trained network and what was measured lie; ``seconds``: no picture is
    begun after so many, those in the cache are taken all the same; ``steps`` and ``size_px`` of
    training."""

    pictures: int
    cache: Path
    seconds: float
    steps: int
    size_px: int
    protocol: Protocol
    shipped_only: bool = False


def measured(wanted: Wanted, say: Say) -> list[Measured]:
    """Both networks by turns, or the shipped one, a picture each. ``say`` is told how it goes."""
    wanted.cache.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    torch.set_num_threads(1)
    shipped = networks.shipped()
    sides = {f"shipped model, {shipped.preprocessing.width_px} px": _engine(shipped)}
    if not wanted.shipped_only:
        foreign = networks.foreign(wanted.cache, wanted.size_px, wanted.steps, say)
        what = (
            f"Unet({networks.ENCODER}) of segmentation_models_pytorch, {wanted.size_px} px, "
            f"{wanted.steps} steps of {networks.BATCH} simulated fruit"
        )
        sides[what] = _engine(foreign)
    renderer = Renderer(RENDER_PX)
    found: dict[str, list[dict[str, Numbers]]] = {what: [] for what in sides}
    for seed in range(FIRST_SEED, FIRST_SEED + wanted.pictures):
        for what, engine in sides.items():
            path = wanted.cache / f"{_slug(engine.model)}-{wanted.protocol.name}-{seed}.json"
            if not path.exists():
                if time.monotonic() - started > wanted.seconds:
                    continue  # what was measured before still counts
                numbers = measure(engine, renderer.fruit(seed), seed, wanted.protocol)
                path.write_text(json.dumps(numbers))
            found[what].append(json.loads(path.read_text()))
        counts = ", ".join(str(len(one)) for one in found.values())
        say(f"pictures: {counts} of {wanted.pictures}, {time.monotonic() - started:.0f} s")
    return [
        Measured(f"{what}, {engine.layer}", wanted.protocol, found[what])
        for what, engine in sides.items()
    ]


def _engine(model: LoadedModel) -> Engine:
    """Times are of the processor: others may work on this machine."""
    settings = config.Ablation(classes=model.classes[1:], fractions=(1.0,), background_draws=1)
    return Engine(model, settings, tuning=Tuning(clock=time.process_time))


def _slug(model: LoadedModel) -> str:
    weights = sum(float(p.double().abs().sum()) for p in model.module.parameters())
    return f"{model.name.replace(' ', '-').lower()}-{weights:.6g}"
