"""Asks the running agent over its control socket."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.options import EXIT_CONFIG, EXIT_FAILED, one_line

StateDirOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The agent's state_dir, where no --config names it."),
]


def ask_agent(
    config: Path | None,
    state_dir: Path | None,
    command: str,
    arguments: Mapping[str, object],
    timeout_s: float,
) -> dict[str, object]:
    """The agent's answer; the end of the program with its own words where it refuses."""
    from agent.supervision.control.client import ask
    from agent.supervision.control.protocol import ControlError

    with one_line(ControlError, exit_code=EXIT_FAILED):
        return ask(state_dir or state_dir_of(config), command, arguments, timeout_s)


def state_dir_of(config: Path | None) -> Path:
    """As the configuration names it, whatever else may be wrong with it just now."""
    if config is None:
        raise typer.BadParameter("is missing, and --state-dir as well", param_hint="--config")
    from agent.upkeep.settings import read_settings

    settings = read_settings(config)
    if settings.state_dir is None:
        wrong = settings.wrong or f"{config}: state_dir is not set: nobody can be asked"
        typer.echo(f"pitwatch: {wrong}", err=True)
        raise typer.Exit(EXIT_CONFIG)
    return settings.state_dir
