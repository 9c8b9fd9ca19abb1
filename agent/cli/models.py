"""``pitwatch train`` and ``pitwatch evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.cli.options import DeviceOption, ModelOption, one_line


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
        float, typer.Option(metavar="SHARE", help="Of the samples; the rest is simulated.")
    ] = 0.5,
    effort: Annotated[
        float, typer.Option(metavar="FACTOR", help="Steps relative to the shipped model's recipe.")
    ] = 1.0,
    features: Annotated[int, typer.Option(help="Width of the network's first level.")] = 8,
    seed: Annotated[int, typer.Option(help="Of weights and data.")] = 0,
    cases: Annotated[
        int, typer.Option(help="Simulated fruit to calibrate and to judge on.")
    ] = 2000,
    device: DeviceOption = "cpu",
    name: Annotated[str, typer.Option(help="Of the model, for its card.")] = "peach-unet",
    start: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Refine these weights instead of starting from none."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from FILE.checkpoint if there is one.")
    ] = False,
) -> None:
    """Train the network on simulated fruit, on a folder of pictures and masks, or on both."""
    from dataclasses import replace

    from rich.console import Console

    from agent.models.errors import ModelError
    from agent.models.files import read_file, sha256_of
    from agent.training.command import train_with_progress
    from agent.training.errors import TrainingError
    from agent.training.recipe import Recipe
    from agent.training.train import TrainOptions

    with one_line(TrainingError, ModelError):
        base = Recipe() if start is None else Recipe.refining(sha256_of(read_file(start)))
        recipe = replace(base, features=features, seed=seed).scaled(effort)
        options = TrainOptions(
            out, recipe, name, folder, folder_share, device, resume, cases, start
        )
        train_with_progress(options, Console())


def evaluate(
    model: ModelOption = None,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Pictures and masks, as for train.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the simulated fruit, without a folder.")] = 1,
    count: Annotated[int, typer.Option(help="Simulated fruit.")] = 500,
    faint: Annotated[float, typer.Option(help="Share of faint sutures among them.")] = 0.25,
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

    with one_line(TrainingError, ModelError):
        options = EvaluateOptions(model, folder, seed, count, faint, json, sheet, device)
        evaluate_with_progress(options, Console())
