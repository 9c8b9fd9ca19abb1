"""``pitwatch recording``: whether the running agent keeps pictures of the line."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from agent.cli.options import ConfigOption
from agent.cli.running import StateDirOption, ask_agent
from agent.cli.shown import Command, Group

recording = typer.Typer(
    name="recording",
    cls=Group,
    no_args_is_help=True,
    help="Pictures of the line, kept by the running agent to be labelled and trained on.",
)

ANSWER_S = 30.0
MIB = 1024 * 1024


@recording.command(cls=Command)
def on(config: ConfigOption = None, state_dir: StateDirOption = None) -> None:
    """Record from now on, also after a restart, until off or another recording.enabled."""
    _show(ask_agent(config, state_dir, "recording.on", {}, ANSWER_S))


@recording.command(cls=Command)
def off(config: ConfigOption = None, state_dir: StateDirOption = None) -> None:
    """Record no more. What is recorded stays."""
    _show(ask_agent(config, state_dir, "recording.off", {}, ANSWER_S))


@recording.command(cls=Command)
def status(
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for scripts.")] = False,
) -> None:
    """Whether it records, since when and by whom, and what lies in the folder."""
    found = ask_agent(config, state_dir, "recording.status", {}, ANSWER_S)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    since = _utc(found["since_utc_ms"])
    typer.echo(f"recording {'on' if found['on'] else 'off'} since {since}, by {found['by']}")
    if not found["on"]:
        return
    if found["paused"]:
        typer.echo(f"paused    {found['paused']}: {found['detail']}")
    typer.echo(f"folder    {found['folder']}")
    filled = f"{found['bytes'] / MIB:.1f} of {found['limit_bytes'] / MIB:.0f} MiB"
    oldest = f", the oldest of {_utc(found['oldest_utc_ms'])}" if found["oldest_utc_ms"] else ""
    typer.echo(f"holds     {sum(found['records'].values())} pictures, {filled}{oldest}")
    for reason, count in found["records"].items():
        if count:
            typer.echo(f"          {reason}: {count}")
    if found["damaged"]:
        typer.echo(f"damaged   {found['damaged']} records cannot be read")


def _utc(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(ms / 1000))
