"""``pitwatch calibrate``, ``pitwatch score-alarms``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.options import EXIT_USAGE, ConfigOption, ModelOption, load, one_line


def check_angle(
    by: Annotated[
        float,
        typer.Option(
            metavar="DEGREES",
            help="About so far the fruit is turned, counter-clockwise for who looks at the side "
            "that the camera sees; negative: clockwise.",
        ),
    ],
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[BEFORE AFTER]",
            show_default=False,
            help="The camera's own pictures; without them, it is watched.",
        ),
    ] = None,
    config: ConfigOption = None,
    source: Annotated[
        str | None, typer.Option(metavar="URL", help="In place of the configured camera.")
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which configured camera; default: the first."),
    ] = None,
    lane: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where the fruit lies, of several lanes.")
    ] = None,
    model: ModelOption = None,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="How long the camera is watched.")
    ] = 120.0,
) -> None:
    """Turn one fruit by hand: does its angle turn the same way, or is the picture mirrored?"""
    from agent.commissioning.command import check_angle as check
    from agent.commissioning.errors import CommissioningError
    from agent.commissioning.sense import Turn

    if pictures and len(pictures) != 2:
        raise typer.BadParameter("give two pictures, before and after the turn, or none")
    with one_line(CommissioningError, exit_code=EXIT_USAGE):
        turn = Turn(by, lane)
    loaded = load(config, sources=(source,) if source else (), broker="none", model=model)
    files = (pictures[0], pictures[1]) if pictures else None
    raise typer.Exit(check(loaded.config, camera, turn, files, seconds))


def calibrate(
    variety: Annotated[
        str, typer.Option(metavar="NAME", help="Variety that runs, as the machine announces it.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Where the reference goes (JSON).")
    ],
    config: ConfigOption = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            "--recording",
            metavar="URL",
            help="Camera, folder, video or sim: in place of the configured camera.",
        ),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which configured camera; default: the first."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights; default: the configured ones.")
    ] = None,
    lots: Annotated[
        int, typer.Option(metavar="N", min=1, help="Whole lots to collect, at least.")
    ] = 12,
    lot_minutes: Annotated[
        float,
        typer.Option(
            metavar="MINUTES", min=1, help="What counts as a lot where the machine names none."
        ),
    ] = 15.0,
    explained: Annotated[
        int, typer.Option(metavar="N", min=5, help="Fruit explained in each window.")
    ] = 10,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what an interrupted run collected.")
    ] = False,
    discard: Annotated[
        bool, typer.Option("--discard", help="Throw away what an interrupted run collected.")
    ] = False,
    turned: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="BEFORE AFTER",
            help="Pictures of one fruit turned by hand, as for check-angle: checked first.",
        ),
    ] = None,
    by: Annotated[
        float | None,
        typer.Option(metavar="DEGREES", help="With --turned: about so far, counter-clockwise."),
    ] = None,
    lane: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --turned: where that fruit lies.")
    ] = None,
) -> None:
    """Audit the model on the running line, then learn what is usual there, for the alarms."""
    from rich.console import Console

    from agent.commissioning.command import calibrate_with_progress
    from agent.commissioning.commission import Plan, Turned
    from agent.commissioning.errors import CommissioningError
    from agent.commissioning.sense import Turn

    if (turned is None) != (by is None) or (lane is not None and turned is None):
        raise typer.BadParameter("--turned BEFORE AFTER and --by DEGREES go together")
    with one_line(CommissioningError, exit_code=EXIT_USAGE):
        hand = None if turned is None or by is None else Turned(*turned, Turn(by, lane))
    loaded = load(config, sources=(source,) if source else (), broker="none", model=model)
    plan = Plan(variety, out, camera, lots, lot_minutes, explained, resume, hand, discard)
    raise typer.Exit(calibrate_with_progress(loaded.config, plan, Console()))


def score_alarms(
    reference: Annotated[
        list[Path],
        typer.Option(metavar="FILE", help="Made by calibrate; repeatable, one a variety."),
    ],
    bank: Annotated[
        Path, typer.Option(metavar="DIR", help="Recordings: made where missing, kept for later.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="score.json and score.md go here.")
    ],
    config: ConfigOption = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights; default: the configured ones.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Repeatable; default: all of them.")
    ] = None,
    shortcut: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights that learned a shortcut, for that fault."),
    ] = None,
    protocol: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What is scored; default: the one that ships."),
    ] = None,
    trial: Annotated[
        bool,
        typer.Option("--trial", help="Score with less than a claim needs, and claim nothing."),
    ] = False,
    processes: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=256, help="That share the work; 0: one a core."),
    ] = 0,
) -> None:
    """Score the alarms on simulated faults and ordinary days, beside tests on softmax outputs."""
    from rich.console import Console

    from agent.scoring.command import ScoreOptions, score_with_progress
    from agent.scoring.protocol import PROTOCOL

    loaded = load(config, broker="none", model=model)
    options = ScoreOptions(
        references=tuple(reference),
        bank=bank,
        out=out,
        faults=tuple(fault or ()),
        protocol=protocol or PROTOCOL,
        shortcut=shortcut,
        trial=trial,
        processes=processes or len(os.sched_getaffinity(0)),
    )
    raise typer.Exit(score_with_progress(loaded.config, options, Console()))
