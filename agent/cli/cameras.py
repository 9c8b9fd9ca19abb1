"""``pitwatch cameras``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.cli.options import EXIT_FAILED, ConfigOption, ModelOption, load, one_line


def cameras(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL]",
            show_default=False,
            help="Camera to watch: a source as in a configuration, or with --config the name of "
            "one of its cameras. Without it, all cameras are listed.",
        ),
    ] = None,
    config: ConfigOption = None,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.5, max=3600, help="How long it is watched.")
    ] = 5.0,
    snapshot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Where its newest picture goes.")
    ] = None,
    interface: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Network to list or to check; default: all with a link."),
    ] = None,
    check_host: Annotated[
        bool,
        typer.Option("--check-host", help="Check this computer's networks and tuning instead."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The list as JSON.")] = False,
    model: ModelOption = None,
) -> None:
    """List cameras (V4L2, GenICam), or watch one: its rate, age, losses, and what is read on it.

    Listing asks the networks by broadcast. Exit code 0: there are cameras; pictures came and none
    was lost; the host is well. 1: not so. 78: an error of the configuration or the model.
    """
    if source is None and snapshot is not None:
        raise typer.BadParameter("needs a camera: pitwatch cameras URL", param_hint="--snapshot")
    if check_host or source is None:
        from agent.cameras import command
        from agent.capture.source import SourceError
        from agent.config import GenicamOptions

        if check_host:
            raise typer.Exit(command.show_host(interface))
        with one_line(SourceError):
            raise typer.Exit(command.list_cameras(GenicamOptions(interface=interface), as_json))
    _watch(source, config, (seconds, snapshot), model)


def _watch(
    source: str, config: Path | None, wanted: tuple[float, Path | None], model: Path | None
) -> None:
    from agent.output_file import output_refusal

    seconds, snapshot = wanted
    if snapshot is not None and (refusal := output_refusal(snapshot, ".png")):
        typer.echo(f"pitwatch: {refusal}", err=True)
        raise typer.Exit(EXIT_FAILED)
    configured = load(config, broker="none", model=model).config if config else None
    named = [each for each in configured.cameras if each.name == source] if configured else []
    if configured is not None and named:
        chosen, camera = configured, named[0]
    else:
        chosen = load(config, sources=(source,), broker="none", model=model).config
        camera = chosen.cameras[0]
    from agent.cameras.watch_command import watch_camera

    raise typer.Exit(watch_camera(chosen, camera, seconds, snapshot))
