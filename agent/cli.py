"""The ``pitwatch`` command. Nothing heavy is imported before a command needs it.

Exit codes: 0 done; 1 the work failed; 2 the command line itself was wrong; 78 (EX_CONFIG) the
configuration was. An error that a user can act on is one line on stderr and no traceback; a
traceback is a defect of Pitwatch.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from agent import __version__

if TYPE_CHECKING:
    from agent.ablation.sources import Shot
    from agent.config import Score
    from agent.config_file import Loaded, Overrides

EXIT_FAILED = 1
EXIT_CONFIG = 78
REFERENCE_PICTURES = 32
"""At most so many pictures make the means of the baseline: they settle long before."""

app = typer.Typer(
    name="pitwatch",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # a person reads one line; a developer the plain traceback
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="YAML file; see config/pitwatch.yaml."),
]


def main() -> None:
    """Entry point of the installed command."""
    try:
        app()
    except BrokenPipeError:  # `pitwatch ... | head`: the reader has what it wanted
        sys.stderr.close()
        sys.exit(EXIT_FAILED)
    except SystemExit as end:
        if threading.active_count() > 1:
            _leave(end.code)
        raise


def _leave(code: str | int | None) -> NoReturn:
    """End at once, with output flushed: a thread outlived the orderly stop.

    It may be inside native code, where the interpreter's own shutdown would end it by an exception
    that no C++ library survives: the process died of SIGABRT after its work was done.
    """
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pitwatch {__version__}")
        raise typer.Exit


@app.callback()
def pitwatch(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Watch the vision model of a fruit pitting machine, and explain what it looks at."""


@app.command()
def run(
    config: ConfigOption = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Camera: sim:, a folder, a video file, v4l2:///dev/video0, rtsp://HOST/PATH. "
            "Repeatable; replaces the configured cameras by cam1, cam2 ...",
        ),
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option(metavar="URL", help="mqtt://HOST:PORT, mqtts://HOST:PORT, embedded or none."),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where /metrics and the page are served."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights: safetensors or a state dict.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="End cleanly after this long.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Log lines only, no terminal view.")
    ] = False,
) -> None:
    """Watch the line. Without options: a simulated machine and a broker on this computer."""
    from agent.config_file import Overrides

    if duration is not None and not 0 < duration < float("inf"):
        raise typer.BadParameter("must be more than 0 seconds", param_hint="--duration")
    overrides = Overrides(sources=tuple(source or ()), broker=broker, http=http, model=model)
    loaded = _load(config, overrides)
    _show_warnings(loaded)
    from agent.pipeline import RunOptions
    from agent.pipeline import run as run_agent

    options = RunOptions(duration_s=duration, plain=plain, config_hash=loaded.sha256)
    raise typer.Exit(run_agent(loaded.config, options))


@app.command("check-config")
def check_config(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", show_default=False, help="The YAML file.")
    ] = None,
    config: ConfigOption = None,
    show: Annotated[
        bool, typer.Option("--print", help="Print the effective values, secrets masked.")
    ] = False,
) -> None:
    """Name every error of a configuration file at once. Exit code 0, or 78 with errors."""
    if file is not None and config is not None and file != config:
        raise typer.BadParameter("give the file once", param_hint="--config")
    from agent.config_file import Overrides, effective_yaml

    loaded = _load(config or file, Overrides())
    _show_warnings(loaded)
    if show:
        typer.echo(effective_yaml(loaded.config), nl=False)
    else:
        typer.echo(f"{loaded.source}: no errors")


@app.command()
def explain(
    picture: Annotated[
        Path,
        typer.Argument(
            metavar="PICTURE|FOLDER", help="8 bits a channel; any format that OpenCV reads."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="The six panels as one PNG."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="The numbers.")
    ] = None,
    npz: Annotated[
        Path | None, typer.Option("--npz", metavar="FILE", help="The arrays, for numpy.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The maps of all layers as one PNG.")
    ] = None,
    layers: Annotated[
        str, typer.Option(metavar="PATTERN", help="Layers of --sheet, such as 'encoder*relu2'.")
    ] = "*",
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="True mask to compare with: white suture, green stem."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights; default: the shipped model.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Any named layer; default: the model card's.")
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME|INDEX", help="Default: the first foreground class."),
    ] = None,
    method: Annotated[
        str,
        typer.Option(metavar="NAME", help="ablation-cam, occlusion, region-occlusion, or hires."),
    ] = "ablation-cam",
    score: Annotated[
        str, typer.Option(metavar="NAME", help="margin, logit_sum, or dice_drop.")
    ] = "margin",
    baseline: Annotated[
        str, typer.Option(metavar="NAME", help="What an ablated map is set to: zero, or mean.")
    ] = "zero",
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|sim:", help="Pictures for the means; default: the model card's means."
        ),
    ] = None,
    region: Annotated[
        str,
        typer.Option(
            metavar="REGION",
            help="What is explained: predicted, component[:N], box:X,Y,W,H, or mask:FILE.",
        ),
    ] = "predicted",
    groups: Annotated[
        str,
        typer.Option(
            metavar="GROUPS", help="Ablate channels together: cluster:N, contiguous:N, or 0-3;4,6."
        ),
    ] = "",
    checks: Annotated[
        bool,
        typer.Option("--checks", help="Insertion, deletion, agreement with blocks and gradients."),
    ] = False,
    patch: Annotated[int, typer.Option(metavar="PX", help="Side of --method occlusion.")] = 16,
    stride: Annotated[int, typer.Option(metavar="PX", help="Of --method occlusion.")] = 8,
    fill: Annotated[
        str, typer.Option(metavar="NAME", help="Of --method occlusion: zero, mean, or blur.")
    ] = "blur",
) -> None:
    """Show what the model looks at in a picture. Without --out, --json, --npz: one PNG here."""
    from agent.ablation.command import METHODS, ExplainOptions, PatchOptions, explain_picture
    from agent.config_file import Overrides

    wanted = _score(score)
    if method not in METHODS:
        text = f"{method!r} is none of {', '.join(METHODS)}"
        raise typer.BadParameter(text, param_hint="--method")
    options = ExplainOptions(
        picture=picture,
        out=out,
        json=json,
        npz=npz,
        sheet=sheet,
        layers=layers,
        baseline=_baseline(baseline),
        reference=_shots(reference, REFERENCE_PICTURES) if reference is not None else (),
        region=region,
        groups=groups,
        checks=checks,
        patch=PatchOptions(size_px=patch, stride_px=stride, fill=fill),
        mask=mask,
        model=_load(None, Overrides(model=model)).config.model,
        layer=layer,
        class_name=class_name,
        method=method,
        score=wanted,
    )
    raise typer.Exit(explain_picture(options))


@app.command()
def study(
    source: Annotated[
        str, typer.Argument(metavar="FOLDER|sim:", help="Pictures, or simulated fruit.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Report, tables and plots go here.")
    ],
    count: Annotated[int, typer.Option(min=1, help="At most so many pictures.")] = 8,
    class_names: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="NAME", help="Repeatable; default: all but the first."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights; default: the shipped model.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Any named layer; default: the model card's.")
    ] = None,
    score: Annotated[
        str, typer.Option(metavar="NAME", help="margin, logit_sum, or dice_drop.")
    ] = "margin",
    baseline: Annotated[
        str, typer.Option(metavar="NAME", help="What an ablated map is set to: zero, or mean.")
    ] = "zero",
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|sim:", help="Pictures for the means; default: the model card's means."
        ),
    ] = None,
    groups: Annotated[
        str,
        typer.Option(
            metavar="GROUPS", help="Ablate channels together: cluster:N, contiguous:N, or 0-3;4,6."
        ),
    ] = "",
    examples: Annotated[int, typer.Option(min=0, help="Pictures shown in the report.")] = 3,
    maps: Annotated[
        bool, typer.Option("--maps/--no-maps", help="Regions in each map separately: slow.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of random cells, channels and orders.")] = 0,
) -> None:
    """Ablate every channel, hide regions in one, some and all maps: one report on many pictures."""
    from agent.ablation.study import StudyOptions, run_study
    from agent.config_file import Overrides

    options = StudyOptions(
        shots=_shots(source, count),
        source=source,
        out=out,
        model=_load(None, Overrides(model=model)).config.model,
        layer=layer,
        classes=tuple(class_names or ()),
        score=_score(score),
        baseline=_baseline(baseline),
        reference=_shots(reference, REFERENCE_PICTURES) if reference is not None else (),
        groups=groups,
        examples=examples,
        maps=maps,
        seed=seed,
    )
    raise typer.Exit(run_study(options))


@app.command()
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
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
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
    from agent.models.weights import read_file, sha256_of
    from agent.training.command import train_with_progress
    from agent.training.errors import TrainingError
    from agent.training.recipe import Recipe
    from agent.training.train import TrainOptions

    with _one_line(TrainingError, ModelError):
        base = Recipe() if start is None else Recipe.refining(sha256_of(read_file(start)))
        recipe = replace(base, features=features, seed=seed).scaled(effort)
        options = TrainOptions(
            out, recipe, name, folder, folder_share, device, resume, cases, start
        )
        train_with_progress(options, Console())


@app.command()
def calibrate(
    variety: Annotated[
        str, typer.Option(metavar="NAME", help="Variety that runs, as the machine announces it.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Where the reference goes (JSON).")
    ],
    config: ConfigOption = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            "--recording",
            metavar="URL",
            help="Camera, folder, video or sim: in place of the configured camera.",
        ),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which configured camera; default: the first."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights; default: the configured ones.")
    ] = None,
    lots: Annotated[int, typer.Option(min=1, help="Whole lots to collect.")] = 12,
    lot_minutes: Annotated[
        float, typer.Option(min=1, help="What counts as a lot where the machine names none.")
    ] = 15.0,
    explained: Annotated[int, typer.Option(min=5, help="Fruit explained in each window.")] = 10,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what an interrupted run collected.")
    ] = False,
) -> None:
    """Audit the model on the running line, then learn what is usual there, for the alarms."""
    from rich.console import Console

    from agent.commissioning.command import CalibrateOptions, calibrate_with_progress
    from agent.config_file import Overrides

    overrides = Overrides(sources=(source,) if source else (), broker="none", model=model)
    loaded = _load(config, overrides)
    options = CalibrateOptions(variety, out, camera, lots, lot_minutes, explained, resume)
    raise typer.Exit(calibrate_with_progress(loaded.config, options, Console()))


@app.command()
def evaluate(
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights; default: the shipped model.")
    ] = None,
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
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Judge a model: Dice, angle error, no-reads, calibration; on a folder or simulated fruit."""
    from rich.console import Console

    from agent.models.errors import ModelError
    from agent.training.command import EvaluateOptions, evaluate_with_progress
    from agent.training.errors import TrainingError

    with _one_line(TrainingError, ModelError):
        options = EvaluateOptions(model, folder, seed, count, faint, json, sheet, device)
        evaluate_with_progress(options, Console())


def _score(name: str) -> Score:
    from agent.config import Score

    try:
        return Score(name)
    except ValueError as error:
        text = f"{name!r} is none of {', '.join(Score)}"
        raise typer.BadParameter(text, param_hint="--score") from error


def _baseline(name: str) -> Literal["zero", "mean"]:
    if name == "mean":
        return "mean"
    if name == "zero":
        return "zero"
    raise typer.BadParameter(f"{name!r} is none of zero, mean", param_hint="--baseline")


def _shots(source: str, count: int) -> list[Shot]:
    """Pictures of a folder or of simulated fruit."""
    from agent.ablation.errors import AblationError
    from agent.cli_pictures import shots
    from agent.simulator.parameters import ParameterError

    with _one_line(AblationError, ParameterError):
        return shots(source, count)


def _load(path: Path | None, overrides: Overrides) -> Loaded:
    from agent.config_file import ConfigErrors, load_config

    with _one_line(ConfigErrors, exit_code=EXIT_CONFIG):
        return load_config(path, overrides)


def _show_warnings(loaded: Loaded) -> None:
    for warning in loaded.warnings:
        typer.echo(f"pitwatch: warning: {warning}", err=True)


@contextmanager
def _one_line(*known: type[Exception], exit_code: int = EXIT_FAILED) -> Iterator[None]:
    """End the program with the error's own words when it is one of ``known``."""
    try:
        yield
    except known as error:
        fail(str(error), exit_code)


def fail(message: str, exit_code: int = EXIT_FAILED) -> NoReturn:
    """Say what is wrong on stderr and end with ``exit_code``."""
    typer.echo(f"pitwatch: {message}", err=True)
    raise typer.Exit(exit_code)
