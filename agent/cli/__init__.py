"""The ``pitwatch`` command. Nothing heavy is imported before a command needs it.

Exit codes: 0 done; 1 the work failed; 2 the command line itself was wrong; 78 (EX_CONFIG) the
configuration was. An error that a user can act on is one line on stderr and no traceback; a
traceback is a defect of Pitwatch.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import Annotated, NoReturn, TextIO

import typer

from agent import __version__
from agent.cli.alarms import calibrate, check_angle, score_alarms
from agent.cli.cameras import cameras
from agent.cli.explanations import explain, study
from agent.cli.health import health
from agent.cli.labelling import export, import_labels
from agent.cli.line import check_config, run
from agent.cli.model import model
from agent.cli.models import evaluate, train
from agent.cli.options import EXIT_FAILED
from agent.cli.recording import recording
from agent.cli.reload import reload
from agent.cli.shown import Command, Group, never_fail_on_a_character
from agent.cli.state import state
from agent.cli.upkeep import bundle, status, upgrade

app = typer.Typer(
    name="pitwatch",
    no_args_is_help=True,
    cls=Group,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # a person reads one line; a developer the plain traceback
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _command in (
    run,
    check_config,
    reload,
    health,
    status,
    upgrade,
    bundle,
    cameras,
    explain,
    study,
    train,
    check_angle,
    calibrate,
    score_alarms,
    evaluate,
):
    app.command(_command.__name__.replace("_", "-"), cls=Command)(_command)
app.command("export", cls=Command)(export)
app.command("import", cls=Command)(import_labels)
app.add_typer(model)
app.add_typer(recording)
app.add_typer(state)


def main() -> None:
    """Entry point of the installed command."""
    never_fail_on_a_character()
    try:
        app()
    except BrokenPipeError:  # `pitwatch ... | head`: the reader has what it wanted
        sys.stderr.close()
        sys.exit(EXIT_FAILED)
    except SystemExit as end:
        for stream in (sys.stdout, sys.stderr):
            flush_or_drop(stream)
        if threading.active_count() > 1:
            _leave(end.code)
        raise


def flush_or_drop(stream: TextIO) -> None:
    """Write what a stream holds, or drop it where nobody can read it any more.

    Of a terminal that has closed the interpreter would otherwise make exit code 120 at its end.
    """
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def _leave(code: str | int | None) -> NoReturn:
    """End at once, with output flushed: a thread outlived the orderly stop.

    It may be inside native code, where the interpreter's own shutdown would end it by an exception
    that no C++ library survives: the process died of SIGABRT after its work was done.
    """
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    flush_or_drop(sys.stderr)
    os._exit(code if isinstance(code, int) else int(code is not None))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pitwatch {__version__}")
        raise typer.Exit


@app.callback()
def pitwatch(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Watch the vision model of a fruit pitting machine, and explain what it looks at."""
