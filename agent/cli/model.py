"""``pitwatch model``: another model for the running agent, without stopping it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli.options import (
    EXIT_FAILED,
    ConfigOption,
    FactoryOption,
    Sha256Option,
    TrustOption,
)
from agent.cli.running import StateDirOption, ask_agent
from agent.cli.shown import Command, Group

model = typer.Typer(
    name="model",
    cls=Group,
    no_args_is_help=True,
    help="Another model for the running agent: staged, tried beside the live one, promoted.",
)

CHANGE_S = 120.0
LOOK_S = 10.0
POLL_S = 2.0
OPEN = ("loading", "audit", "shadow")

JsonOption = Annotated[bool, typer.Option("--json", help="Everything, for scripts.")]


@model.command(cls=Command)
def stage(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Weights, ONNX, or a trusted program.")
    ] = None,
    variety: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Fruit that it is tried on; again for more of them."),
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Reference made with it; again for more varieties."),
    ] = None,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    factory: FactoryOption = None,
    trust: TrustOption = None,
    sha256: Sha256Option = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until it can be promoted, or is refused.")
    ] = False,
) -> None:
    """Load a model beside the live one, audit it on live pictures, and run it in the shadow.

    Exit code 1 where it is refused, with the reasons. Nothing of the live path changes.
    """
    arguments: dict[str, object] = {
        "path": str(file.absolute()) if file is not None else None,
        "factory": factory,
        "trust": trust,
        "sha256": sha256.strip().lower() if sha256 is not None else None,
        "varieties": list(variety or ()),
        "references": [str(one.absolute()) for one in reference or ()],
    }
    found = ask_agent(config, state_dir, "model.stage", arguments, CHANGE_S)
    while wait and _phase(found) in OPEN:
        time.sleep(POLL_S)
        found = ask_agent(config, state_dir, "model.status", {}, LOOK_S)
    _show(found)
    if _phase(found) == "refused":
        raise typer.Exit(EXIT_FAILED)


@model.command(cls=Command)
def status(
    config: ConfigOption = None, state_dir: StateDirOption = None, as_json: JsonOption = False
) -> None:
    """Which model is live, which is staged and how it compares, and who changed what."""
    found = ask_agent(config, state_dir, "model.status", {}, LOOK_S)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        _show(found)


@model.command(cls=Command)
def promote(
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    early: Annotated[
        bool, typer.Option("--early", help="Although its time in the shadow is not over.")
    ] = False,
) -> None:
    """Make the staged model the live one, between two fruit, with its references."""
    _show(ask_agent(config, state_dir, "model.promote", {"early": early}, CHANGE_S))


@model.command(cls=Command)
def rollback(config: ConfigOption = None, state_dir: StateDirOption = None) -> None:
    """Bring the model that was live before back, with its references."""
    _show(ask_agent(config, state_dir, "model.rollback", {}, CHANGE_S))


@model.command(cls=Command)
def discard(config: ConfigOption = None, state_dir: StateDirOption = None) -> None:
    """Forget the staged model."""
    _show(ask_agent(config, state_dir, "model.discard", {}, LOOK_S))


def _phase(found: dict[str, Any]) -> str:
    return str((found.get("staged") or {}).get("phase", ""))


def _show(found: dict[str, Any]) -> None:
    typer.echo(f"live      {_model(found['live'])}, by {found['decided_by']}")
    if not found["workers_renewed"]:
        typer.echo("workers   are being replaced: some explain the model before")
    if found["previous"]:
        typer.echo(f"previous  {_model(found['previous'])}")
    if found["staged"]:
        _show_staged(found["staged"])


def _show_staged(staged: dict[str, Any]) -> None:
    typer.echo(f"staged    {_model(staged['model'])}: {staged['phase']}")
    if staged["refused_because"]:
        typer.echo(f"refused   {staged['refused_because']}")
    for line in staged["audit"]:
        typer.echo(f"audit     {'passed' if line['passed'] else 'FAILED'}: {line['text']}")
    shadow = staged["shadow"]
    if shadow["pictures"] or staged["phase"] == "shadow":
        typer.echo(
            f"shadow    {shadow['pictures']} of {shadow['pictures_wanted']} pictures, "
            f"{shadow['seconds']:.0f} of {shadow['seconds_wanted']:.0f} s, "
            f"{shadow['failed']} failed"
        )
    for name, value in shadow["dice"].items():
        typer.echo(f"          Dice of {name}: {_number(value)}")
    if rates := shadow["no_read_rate"]:
        typer.echo(f"          no read: {rates['staged']:.1%}, live {rates['live']:.1%}")
    apart = shadow["angle_apart_deg"]
    if shadow["both_read"]:
        typer.echo(f"          angles apart: {apart['p50']} deg, 95 % within {apart['p95']} deg")
    for name in ("sensitivity", "background"):
        pair = shadow[name]
        if pair["staged"] is not None:
            words = f"{_number(pair['staged'])}, live {_number(pair['live'])}"
            typer.echo(f"          {name}: {words}")
    if cost := staged["cost_ms"]:
        words = f"{cost['staged']:.1f} ms, live {cost['live']:.1f} ms"
        typer.echo(f"cost      {words} of processor time a picture")
    if staged["report"]:
        typer.echo(f"report    {staged['report']}")


def _model(one: dict[str, Any]) -> str:
    digest = f" {one['sha256'][:12]}" if one["sha256"] else ""
    return f"{one['name'] or '(not loaded yet)'}{digest} ({one['path']})"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
