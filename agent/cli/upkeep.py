"""``pitwatch status``, ``pitwatch upgrade``, ``pitwatch bundle``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.options import EXIT_FAILED, ConfigOption, one_line


def status(
    config: ConfigOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything, as one JSON object.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=60, help="To wait for the answer.")
    ] = 5.0,
) -> None:
    """How the running agent is: exit code 0 well, 1 something is wrong, 3 no agent answers."""
    from agent.upkeep import status as shown
    from agent.upkeep.asking import NoAnswerError, ask_status
    from agent.upkeep.settings import read_settings

    try:
        answer = ask_status(read_settings(config), timeout)
    except NoAnswerError as error:
        if as_json:
            typer.echo(json.dumps({"running": False, "well": False, "troubles": [str(error)]}))
        typer.echo(f"pitwatch: no agent answers: {error}", err=True)
        raise typer.Exit(shown.NOT_RUNNING) from error
    if as_json:
        typer.echo(json.dumps(shown.as_json(answer)))
    else:
        for line in shown.lines(answer):
            typer.echo(line)
    raise typer.Exit(shown.exit_code(answer))


def upgrade(
    check: Annotated[
        bool, typer.Option("--check", help="Say what this version would do; change nothing.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Can this version take the place of another? Exit code 0 yes, 1 not now, 78 not with that.

    The database is migrated, after a backup, by the first start.
    """
    from agent.upkeep.upgrade import lines, look_ahead

    if not check:
        raise typer.BadParameter("say --check; the upgrade itself happens at the first start")
    outlook = look_ahead(config)
    for line in lines(outlook):
        typer.echo(line)
    raise typer.Exit(outlook.code)


def bundle(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE.tar.gz]", show_default=False, help="No file is overwritten."),
    ] = None,
    config: ConfigOption = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=60, help="For each answer.")
    ] = 5.0,
) -> None:
    """Pack what support needs, without secrets: also of an agent that is down."""
    from agent.upkeep.bundle import BundleError, default_name, pack

    target = file or Path(default_name())
    with one_line(BundleError, exit_code=EXIT_FAILED):
        packed = pack(target, config, timeout)
    typer.echo(f"{target}: {packed.bytes} bytes, {len(packed.members)} files")
    for note in packed.notes:
        typer.echo(f"left out: {note}")
