"""``pitwatch state``: the database of an agent, looked at, copied, put back, taken over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import EXIT_CONFIG, EXIT_USAGE, ConfigOption, one_line
from agent.cli.shown import Command, Group

if TYPE_CHECKING:
    from agent.storage.upkeep.carry import Carried

state = typer.Typer(
    name="state",
    cls=Group,
    no_args_is_help=True,
    help="Look at the database of an agent, back it up, restore it, take over one set aside.",
)
FolderOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="In place of the configuration's state_dir."),
]


def _place(config: Path | None, folder: Path | None) -> tuple[Path, str]:
    """The folder of state and the name of its agent, empty where no configuration says it."""
    from agent.upkeep.settings import read_settings

    if config is None and folder is None:
        typer.echo("pitwatch: say --config FILE or --state-dir DIR", err=True)
        raise typer.Exit(EXIT_USAGE)
    owner = ""
    if config is not None:
        settings = read_settings(config)
        owner, folder = settings.owner, folder or settings.state_dir
        if folder is None:
            typer.echo(f"pitwatch: {settings.wrong or 'state_dir is not set'}", err=True)
            raise typer.Exit(EXIT_CONFIG)
    assert folder is not None
    return folder, owner


def _whose(owner: str, path: Path) -> str:
    """The agent that a database is for: the configuration's, else the one whose name is in it."""
    from agent.storage.file.identity import owner_at

    return owner or owner_at(path)


@state.command(cls=Command)
def backup(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", show_default=False, help="Default: in state_dir/backups."),
    ] = None,
    config: ConfigOption = None,
    state_dir: FolderOption = None,
    keep: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="Of those in state_dir/backups.")
    ] = 7,
) -> None:
    """Copy the database into a file, while the agent runs or not. No file is overwritten."""
    from agent.storage.errors import StorageError
    from agent.storage.file.backup import CopyError
    from agent.supervision.control.protocol import ControlError
    from agent.upkeep.backups import back_up

    folder, _ = _place(config, state_dir)
    with one_line(StorageError, CopyError, ControlError, OSError):
        made, size = back_up(folder, file, keep)
    typer.echo(f"{made}: {size} bytes")


@state.command(cls=Command)
def check(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", show_default=False, help="Default: that of state_dir."),
    ] = None,
    config: ConfigOption = None,
    state_dir: FolderOption = None,
) -> None:
    """Read every page of a database that no agent has open, and say what it holds."""
    from agent.storage.errors import StorageError
    from agent.storage.file.identity import foreign
    from agent.storage.file.state_dir import FILE
    from agent.storage.upkeep.look import look_at, require_folder, set_aside_in

    folder, owner = (None, "") if file else _place(config, state_dir)
    with one_line(StorageError):
        looked = look_at(file or require_folder(folder) / FILE)
    typer.echo(f"{looked.file}: whole, schema {looked.schema}, {looked.bytes} bytes")
    typer.echo(f"agent: {looked.owner or 'nobody yet'}")
    for table, rows in looked.rows.items():
        typer.echo(f"{table}: {rows} rows")
    typer.echo(f"waiting: {', '.join(f'{n} {k}' for k, n in looked.waiting.items()) or 'nothing'}")
    for aside in set_aside_in(folder) if folder else ():
        typer.echo(f"set aside: {aside}")
    if refused := foreign(looked.owner, owner):
        typer.echo(f"pitwatch: {looked.file} {refused}", err=True)
        raise typer.Exit(EXIT_CONFIG)


@state.command(cls=Command)
def restore(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            show_default=False,
            help="The backup; default: the one made before the last migration.",
        ),
    ] = None,
    config: ConfigOption = None,
    state_dir: FolderOption = None,
    as_it_was: Annotated[
        bool,
        typer.Option(
            "--as-it-was", help="Alarms and what runs are the backup's, not the present file's."
        ),
    ] = False,
) -> None:
    """Put a backup in place. What waits in the present file goes over; that file is kept."""
    from agent.storage.errors import StorageError
    from agent.storage.file.state_dir import FILE
    from agent.storage.upkeep.restore import newest_backup
    from agent.storage.upkeep.restore import restore as put_back

    folder, owner = _place(config, state_dir)
    path = folder / FILE
    with one_line(StorageError):
        done = put_back(file or newest_backup(path), path, _whose(owner, path), as_it_was)
    typer.echo(f"{path}: schema {done.schema}")
    if done.unreadable:
        typer.echo(f"pitwatch: nothing could be carried over: {done.unreadable}", err=True)
    _say(done.carried)
    if done.kept:
        typer.echo(f"what was there before: {done.kept}")


@state.command(cls=Command)
def adopt(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            show_default=False,
            help="A database that was set aside; without it the folder itself changes hands.",
        ),
    ] = None,
    config: ConfigOption = None,
    state_dir: FolderOption = None,
    given_from: Annotated[
        str,
        typer.Option("--from", metavar="AGENT", help="Another agent, whose state is taken over."),
    ] = "",
) -> None:
    """Take over what waits in a file that was set aside, as far as it can be read."""
    from agent.storage.errors import StorageError
    from agent.storage.file.state_dir import FILE
    from agent.storage.upkeep.adopt import adopt as take_over
    from agent.storage.upkeep.adopt import give_over

    folder, owner = _place(config, state_dir)
    if file is None:
        if not given_from or not owner:
            raise typer.BadParameter("name a file, or --from AGENT with --config FILE")
        with one_line(StorageError):
            was = give_over(folder / FILE, owner, given_from)
        typer.echo(f"{folder / FILE}: the state of {owner}, before of {was}")
        return
    path = folder / FILE
    with one_line(StorageError):
        done = take_over(file, path, _whose(owner, path), given_from)
    _say(done.carried)
    typer.echo(f"taken over: {done.file}")


def _say(carried: Carried) -> None:
    rows = ", ".join(f"{table} {count}" for table, count in carried.rows.items())
    typer.echo(f"carried over: {carried.undelivered} undelivered messages; rows: {rows or 'none'}")
    for table, why in carried.unread.items():
        typer.echo(f"pitwatch: {table}: a part could not be read: {why}", err=True)
