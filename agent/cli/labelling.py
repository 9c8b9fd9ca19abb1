"""``pitwatch export`` and ``pitwatch import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.cli.options import SEED, one_line, one_of


def export(
    records: Annotated[Path, typer.Argument(metavar="RECORDS", help="The folder of recordings.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="A new folder, or an empty one.")
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help="coco, coco-polygons, cvat, label-studio, or masks.",
        ),
    ] = "coco",
    count: Annotated[
        int, typer.Option(min=0, help="At most so many pictures; 0: all.", show_default=False)
    ] = 0,
    seed: Annotated[int, typer.Option(**SEED, help="Of the choice.")] = 0,
    every: Annotated[
        bool, typer.Option("--keep-duplicates", help="Keep pictures that look the same.")
    ] = False,
    prefix: Annotated[
        str | None,
        typer.Option(metavar="URL", help="What stands before a picture's name for Label Studio."),
    ] = None,
) -> None:
    """Write recorded pictures with their predicted masks for a labelling tool."""
    from rich.console import Console

    from agent.labelling.errors import LabellingError
    from agent.labelling.exporting import LOCAL_FILES, ExportOptions, Format
    from agent.labelling.exporting import export as write
    from agent.phases import shown

    wanted = one_of(Format, form, "--format")
    options = ExportOptions(wanted, count, seed, not every, prefix or LOCAL_FILES)
    with one_line(LabellingError), shown(Console()) as phases:
        phases.begin("pictures", count or None)
        made = write(records, out, options, phases.done)
    for problem in made.damaged:
        typer.echo(f"pitwatch: left out: {problem}", err=True)
    if warning := made.card.lots_warning:
        typer.echo(f"pitwatch: {warning}", err=True)
    typer.echo(
        f"{out}: {len(made.card.pictures)} pictures; left out: {made.near} near-duplicates, "
        f"{len(made.damaged)} damaged records"
    )


def import_labels(
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="The tool's JSON or XML file, or its folder.")
    ],
    export: Annotated[
        Path, typer.Option("--export", metavar="DIR", help="The folder that was exported.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="A new folder, or an empty one.")
    ],
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out what is wrong and take the rest.")
    ] = False,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="NAME=CLASS",
            help="NAME is suture, stem or background.",
        ),
    ] = None,
) -> None:
    """Take labels back into a folder for train --folder, with where each picture came from."""
    from rich.console import Console

    from agent.labelling.errors import LabellingError
    from agent.labelling.importing import BACKGROUND, ImportOptions
    from agent.labelling.importing import import_labels as take
    from agent.labelling.labels import CLASSES
    from agent.phases import shown

    named = {}
    for one in classes or ():
        name, _, meant = one.rpartition("=")
        if not name:
            raise typer.BadParameter(f"{one!r} is no NAME=CLASS", param_hint="--class")
        named[name] = one_of((*CLASSES, BACKGROUND), meant, "--class")
    with one_line(LabellingError), shown(Console()) as phases:
        phases.begin("labels")
        made = take(labels, export, out, ImportOptions(skip_bad, named), phases.done)
    for problem in made.problems:
        typer.echo(f"pitwatch: left out: {problem}", err=True)
    for picture, pixels in made.overlaps.items():
        typer.echo(
            f"pitwatch: {picture}: {pixels} pixels were drawn as suture and stem; they are stem",
            err=True,
        )
    for picture, count in made.backgrounds.items():
        typer.echo(
            f"pitwatch: {picture}: shapes of class background change nothing, {count} left out",
            err=True,
        )
    if warning := made.card.lots_warning:
        typer.echo(f"pitwatch: {warning}", err=True)
    typer.echo(
        f"{out}: {len(made.card.pictures)} labelled pictures, {made.unchanged} of them exactly as "
        f"predicted; left out: {len(made.problems)}"
    )
