"""``pitwatch reload``: the running agent reads its configuration again and says what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli.options import EXIT_CONFIG, EXIT_FAILED, ConfigOption, one_line

RUNS_ON = "the agent runs on as it did"


def reload(
    config: ConfigOption = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Of the running agent; default: as configured."),
    ] = None,
    effective: Annotated[
        bool,
        typer.Option("--effective", help="Read nothing; print what is in force, secrets masked."),
    ] = False,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, max=600, help="To wait for the answer.")
    ] = 120.0,
) -> None:
    """Let the running agent read its configuration again, without a restart.

    It reads the file that it was started with. --config only says where that agent keeps its state,
    which is where it is asked. Exit code 0: all of the file is in force; 1: some of it needs a
    restart, a camera does not deliver, or no agent answers; 78: the file has errors.
    """
    from agent.supervision.control import ControlError, ask

    folder = state_dir or _state_dir(config)
    with one_line(ControlError):
        answer = ask(folder, {"command": "effective" if effective else "reload"}, timeout)
    if "error" in answer:
        typer.echo(f"pitwatch: {answer['error']}", err=True)
        raise typer.Exit(EXIT_FAILED)
    if effective:
        typer.echo(str(answer["yaml"]), nl=False)
        return
    raise typer.Exit(_tell(answer))


def _state_dir(config: Path | None) -> Path:
    """As the file says, whatever else is wrong in it: that is for the agent to tell."""
    from agent.config.load import ConfigErrors, load_config

    if config is None:
        raise typer.BadParameter("name the file, or --state-dir", param_hint="--config")
    try:
        found = load_config(config).config.state_dir
    except ConfigErrors as errors:
        found = getattr(errors.config, "state_dir", None)
        if found is None:
            typer.echo(f"pitwatch: {errors}", err=True)
            raise typer.Exit(EXIT_CONFIG) from errors
    if found is None:
        typer.echo(
            "pitwatch: state_dir is not set, and there the agent would be asked; send it SIGHUP",
            err=True,
        )
        raise typer.Exit(EXIT_FAILED)
    return found


def _tell(answer: Mapping[str, Any]) -> int:
    """Print what came of a reload, a line each; the exit code."""
    result = answer["result"]
    for one in answer["keys"]:
        state = one["needs"] if one["in_force"] else _not_in_force(result, one["needs"])
        typer.echo(f"{one['key']}: {one['before']} -> {one['after']} ({state})")
    for one in answer["cameras"]:
        typer.echo(f"camera {one['name']}: {one['state']} ({one['detail']})")
    for warning in answer["warnings"]:
        typer.echo(f"pitwatch: warning: {warning}", err=True)
    source = answer["source"] or "configuration"
    if result in ("refused", "failed"):
        count = len(answer["problems"])
        lines = "".join(f"\n  {problem}" for problem in answer["problems"])
        said = f"{count} error{'s' if count != 1 else ''}" if result == "refused" else "failed"
        typer.echo(f"pitwatch: {source}: {said}; {RUNS_ON}{lines}", err=True)
        return EXIT_CONFIG if result == "refused" else EXIT_FAILED
    said = {
        "unchanged": "nothing has changed",
        "applied": "in force",
        "partly": "in force, but for what needs a restart",
    }[result]
    typer.echo(f"{source}: {said}; hash {answer['config_hash'][:12]}, {answer['seconds']:.1f} s")
    return 0 if answer["well"] else EXIT_FAILED


def _not_in_force(result: str, needs: str) -> str:
    if result == "failed":
        return "taken back"
    return f"needs a {needs}" if needs == "restart" else "not taken over"
