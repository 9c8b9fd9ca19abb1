"""``pitwatch train`` and ``pitwatch evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.cli.options import (
    EXIT_CONFIG,
    SEED,
    SHARE,
    DeviceOption,
    FactoryOption,
    ModelOption,
    NetworkOption,
    Sha256Option,
    TrustOption,
    load_network,
    one_line,
)

LONGEST_NAME = 100
"""What a model card takes."""


def _card_name(given: str) -> str:
    if not 0 < len(given) <= LONGEST_NAME:
        raise typer.BadParameter(f"must have 1 to {LONGEST_NAME} letters, found {len(given)}")
    return given


def train(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Where the safetensors file goes.")
    ],
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Pictures and masks: name.png with name_mask.png, or images/ and masks/.",
        ),
    ] = None,
    folder_share: Annotated[
        float, typer.Option(**SHARE, help="Of the samples; the rest is simulated.")
    ] = 0.5,
    effort: Annotated[
        float, typer.Option(metavar="FACTOR", help="Steps relative to the shipped model's recipe.")
    ] = 1.0,
    features: Annotated[
        int, typer.Option(min=1, max=256, help="Width of the network's first level.")
    ] = 8,
    seed: Annotated[int, typer.Option(**SEED, help="Of weights and data.")] = 0,
    cases: Annotated[
        int, typer.Option(min=1, help="Simulated fruit to calibrate and to judge on.")
    ] = 2000,
    device: DeviceOption = "cpu",
    name: Annotated[
        str, typer.Option(callback=_card_name, help="Of the model, for its card.")
    ] = "peach-unet",
    start: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Refine these weights instead of starting from none."),
    ] = None,
    config: NetworkOption = None,
    factory: FactoryOption = None,
    trust: TrustOption = None,
    sha256: Sha256Option = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from FILE.checkpoint if there is one.")
    ] = False,
    discard: Annotated[
        bool, typer.Option("--discard", help="Throw away FILE.checkpoint of an earlier run.")
    ] = False,
) -> None:
    """Train the network on simulated fruit, on a folder of pictures and masks, or on both."""
    from dataclasses import replace

    from rich.console import Console

    from agent.models.errors import ModelError
    from agent.models.loading import choose_device, load_model
    from agent.training.command import train_with_progress
    from agent.training.errors import TrainingError
    from agent.training.recipe import Recipe
    from agent.training.train import TrainOptions

    refined = any(one is not None for one in (start, config, factory))
    if not refined and not (trust is None and sha256 is None):
        raise typer.BadParameter("belongs to --start, --factory or --config", param_hint="--trust")
    first = load_network(config, start, factory, trust, sha256) if refined else None
    with one_line(ModelError, exit_code=EXIT_CONFIG), one_line(TrainingError, OSError):
        where = str(choose_device(device))
        base = Recipe() if first is None else Recipe.refining(load_model(first, "cpu").sha256)
        recipe = replace(base, features=features, seed=seed).scaled(effort)
        options = TrainOptions(
            out, recipe, name, folder, folder_share, where, resume, discard, cases, first
        )
        train_with_progress(options, Console())


def evaluate(
    config: NetworkOption = None,
    model: ModelOption = None,
    factory: FactoryOption = None,
    trust: TrustOption = None,
    sha256: Sha256Option = None,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Pictures and masks, as for train.")
    ] = None,
    seed: Annotated[
        int, typer.Option(**SEED, help="Of the simulated fruit, without a folder.")
    ] = 1,
    count: Annotated[int, typer.Option(min=1, help="Simulated fruit.")] = 500,
    faint: Annotated[
        float, typer.Option(**SHARE, help="Share of faint sutures among them.")
    ] = 0.25,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Every number of every case.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Pictures of the worst cases (.png).")
    ] = None,
    device: DeviceOption = "cpu",
) -> None:
    """Judge a model: Dice, angle error, no-reads, calibration; on a folder or simulated fruit."""
    from rich.console import Console

    from agent.models.errors import ModelError
    from agent.training.command import EvaluateOptions, evaluate_with_progress
    from agent.training.errors import TrainingError

    network = load_network(config, model, factory, trust, sha256)
    with one_line(ModelError, exit_code=EXIT_CONFIG), one_line(TrainingError, OSError):
        options = EvaluateOptions(network, folder, seed, count, faint, json, sheet, device)
        evaluate_with_progress(options, Console())
