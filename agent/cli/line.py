"""``pitwatch run`` and ``pitwatch check-config``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import (
    ConfigOption,
    FactoryOption,
    ModelOption,
    Sha256Option,
    TrustOption,
    load,
    show_warnings,
)

if TYPE_CHECKING:
    from agent.config import Config
    from agent.config.load import Loaded


def run(
    config: ConfigOption = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Camera: sim:, a folder (FOLDER?watch=1: pictures as they arrive), a video file, "
            "v4l2:///dev/video0, rtsp://HOST/PATH, genicam://serial/NUMBER. "
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
    model: ModelOption = None,
    factory: FactoryOption = None,
    trust: TrustOption = None,
    sha256: Sha256Option = None,
    duration: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="End cleanly after this long.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Log lines only, no terminal view.")
    ] = False,
) -> None:
    """Watch the line. Without options: a simulated machine and a broker on this computer."""
    if duration is not None and not 0 < duration < float("inf"):
        raise typer.BadParameter("must be more than 0 seconds", param_hint="--duration")
    loaded = load(
        config,
        sources=source or (),
        broker=broker,
        http=http,
        model=model,
        factory=factory,
        trust=trust,
        sha256=sha256,
    )
    show_warnings(loaded)
    from agent.pipeline import RunOptions
    from agent.pipeline import run as run_agent

    options = RunOptions(
        duration_s=duration,
        plain=plain,
        config_hash=loaded.sha256,
        read_again=_again(config, loaded),
    )
    raise typer.Exit(run_agent(loaded.config, options))


def _again(path: Path | None, loaded: Loaded) -> Callable[[Config], Loaded] | None:
    """What reads the same file with the same options again."""
    if path is None:
        return None
    from agent.preflight import load_config

    place = path.absolute()  # the folder of now may be gone then
    return lambda running: load_config(place, loaded.overrides, None, in_use=running.state_dir)


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
    from agent.config.load import effective_yaml

    loaded = load(config or file)
    show_warnings(loaded)
    if show:
        typer.echo(effective_yaml(loaded.config), nl=False)
    else:
        typer.echo(f"{loaded.source}: no errors")
