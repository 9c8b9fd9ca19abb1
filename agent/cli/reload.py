"""``pitwatch reload``: the running agent reads its configuration again and says what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from agent.cli.options import EXIT_CONFIG, EXIT_FAILED, ConfigOption
from agent.cli.running import StateDirOption, ask_agent

RUNS_ON = "the agent runs on as it did"


def reload(
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
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
    command = "effective" if effective else "reload"
    answer = ask_agent(config, state_dir, command, {}, timeout)
    if effective:
        typer.echo(str(answer["yaml"]), nl=False)
        return
    raise typer.Exit(_tell(answer))


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
