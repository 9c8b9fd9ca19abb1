"""What the commands share: options of one meaning, and how an error reaches the user.

Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from agent.score_names import Score

if TYPE_CHECKING:
    from agent.config.load import Loaded, Overrides
    from agent.reports.sources import Shot

EXIT_FAILED = 1
EXIT_CONFIG = 78
REFERENCE_PICTURES = 32
"""At most so many pictures make the means of the baseline: they settle long before."""

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="YAML file; see config/pitwatch.yaml."),
]
ModelOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Weights; default: the shipped model.")
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]
LayerOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Any named layer; default: the model card's.")
]
*_SCORES, _LAST_SCORE = Score
ScoreOption = Annotated[
    str, typer.Option(metavar="NAME", help=f"{', '.join(_SCORES)}, or {_LAST_SCORE}.")
]
BaselineOption = Annotated[
    str, typer.Option(metavar="NAME", help="What an ablated map is set to: zero, or mean.")
]
ReferenceOption = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|sim:", help="Pictures for the means; default: the model card's means."
    ),
]
GroupsOption = Annotated[
    str,
    typer.Option(
        metavar="GROUPS", help="Ablate channels together: cluster:N, contiguous:N, or 0-3;4,6."
    ),
]


def chosen_score(name: str) -> Score:
    """The score of that name, or an error that names them all."""
    try:
        return Score(name)
    except ValueError as error:
        text = f"{name!r} is none of {', '.join(Score)}"
        raise typer.BadParameter(text, param_hint="--score") from error


def chosen_baseline(name: str) -> Literal["zero", "mean"]:
    """The baseline of that name, or an error that names both."""
    if name == "mean":
        return "mean"
    if name == "zero":
        return "zero"
    raise typer.BadParameter(f"{name!r} is none of zero, mean", param_hint="--baseline")


def shots_of(source: str, count: int) -> list[Shot]:
    """Pictures of a folder or of simulated fruit."""
    from agent.ablation.core.errors import AblationError
    from agent.cli.pictures import shots
    from agent.simulator.parameters import ParameterError

    with one_line(AblationError, ParameterError):
        return shots(source, count)


def load(path: Path | None, overrides: Overrides) -> Loaded:
    """The configuration; the end of the program, with every error named, where it has any."""
    from agent.config.load import ConfigErrors
    from agent.preflight import load_config

    with one_line(ConfigErrors, exit_code=EXIT_CONFIG):
        return load_config(path, overrides)


def show_warnings(loaded: Loaded) -> None:
    """What the configuration leaves to be desired, on stderr."""
    for warning in loaded.warnings:
        typer.echo(f"pitwatch: warning: {warning}", err=True)


@contextmanager
def one_line(*known: type[Exception], exit_code: int = EXIT_FAILED) -> Iterator[None]:
    """End the program with the error's own words when it is one of ``known``."""
    try:
        yield
    except known as error:
        fail(str(error), exit_code)


def fail(message: str, exit_code: int = EXIT_FAILED) -> NoReturn:
    """Say what is wrong on stderr and end with ``exit_code``."""
    typer.echo(f"pitwatch: {message}", err=True)
    raise typer.Exit(exit_code)
