"""What the commands share: options of one meaning, and how an error reaches the user.

Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from agent.score_names import Score

if TYPE_CHECKING:
    from agent.config import Model
    from agent.config.load import Loaded

T = TypeVar("T", bound=str)
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78
BIT_DEPTHS = ("8", "10", "12", "14", "16")
BASELINES: tuple[Literal["zero"], Literal["mean"]] = ("zero", "mean")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="YAML file; see config/pitwatch.yaml."),
]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Weights, ONNX, TorchScript, torch.export; default: as configured, or as shipped.",
    ),
]
NetworkOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="YAML file whose section model says what it is."
    ),
]
FactoryOption = Annotated[
    str | None,
    typer.Option(metavar="MODULE:FUNCTION", help="What makes the network; --model: its weights."),
]
TrustOption = Annotated[
    str | None,
    typer.Option(metavar="data|program", help="A program runs only with: program, and --sha256."),
]
Sha256Option = Annotated[
    str | None, typer.Option(metavar="HEX", help="Of the file, or of the factory's module.")
]
DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,3})?")


def _device(given: str) -> str:
    if not DEVICE.fullmatch(given):
        raise typer.BadParameter(f"{given!r} is none of auto, cpu, cuda, cuda:N")
    return given


def _share(given: float) -> float:
    if not 0.0 <= given <= 1.0:  # typer's own bounds let what is no number pass
        raise typer.BadParameter(f"{given:g} is not from 0 to 1")
    return given


DeviceOption = Annotated[str, typer.Option(callback=_device, help="auto, cpu, cuda or cuda:N.")]
SHARE: dict[str, Any] = {"metavar": "SHARE", "callback": _share}
SEED: dict[str, Any] = {"min": 0, "max": 2**63 - 1}
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


def one_of(names: Iterable[T], given: str, option: str) -> T:
    """The one of ``names`` that was given, or an error that names them all."""
    for name in names:
        if name == given:
            return name
    raise typer.BadParameter(f"{given!r} is none of {', '.join(names)}", param_hint=option)


def load(
    path: Path | None = None,
    *,
    sources: Sequence[str] = (),
    broker: str | None = None,
    http: str | None = None,
    model: Path | None = None,
    factory: str | None = None,
    trust: str | None = None,
    sha256: str | None = None,
) -> Loaded:
    """The configuration; the end of the program, with every error named, where it has any."""
    from agent.config.load import ConfigErrors, Overrides
    from agent.preflight import load_config

    with one_line(ConfigErrors, exit_code=EXIT_CONFIG):
        given = Overrides(tuple(sources), broker, http, model, factory, trust, _hex(sha256))
        return load_config(path, given)


def _hex(sha256: str | None) -> str | None:
    """As sha256sum prints it, which not every tool does."""
    return None if sha256 is None else sha256.strip().lower()


def load_network(
    config: Path | None,
    model: Path | None,
    factory: str | None,
    trust: str | None,
    sha256: str | None,
) -> Model:
    """The network that these options name, whatever else the configuration holds; the end of the
    program where they do not say all of it."""
    from agent.config.load import ConfigErrors, Overrides
    from agent.preflight import load_model_settings

    given = Overrides(model=model, factory=factory, trust=trust, sha256=_hex(sha256))
    with one_line(ConfigErrors, exit_code=EXIT_CONFIG):
        return load_model_settings(config, given)


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
        typer.echo(f"pitwatch: {error}", err=True)
        raise typer.Exit(exit_code) from error
