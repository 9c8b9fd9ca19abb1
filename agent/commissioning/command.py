"""``pitwatch calibrate``: progress, the audit's table and pictures, and the exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from agent.alarms.charts.reference import Reference, ReferenceFileError, SenseCheck
from agent.commissioning.audit import FRUIT, Audit
from agent.commissioning.begin import announced
from agent.commissioning.commission import Commissioning, Plan, Told, check
from agent.commissioning.errors import CommissioningError
from agent.commissioning.line import Wanted, frames_of
from agent.commissioning.pictures import write_sheet
from agent.commissioning.sense import Reader, Turn, check_files, check_live, remedy
from agent.config import Camera, Config
from agent.models.errors import ModelError
from agent.models.loading import load_model
from agent.nearest import unknown
from agent.phases import Phases, Unseen, spoken

EXIT_OK, EXIT_REFUSED, EXIT_CONFIG, EXIT_INTERRUPTED = 0, 1, 78, 130


def calibrate_with_progress(config: Config, plan: Plan, console: Console) -> int:
    """Run a commissioning; the exit code: 0 written, 1 refused, 78 the model, 130 interrupted."""
    torch.set_num_threads(config.model.threads)
    cv2.setNumThreads(1)
    try:
        camera = _camera(config, plan.camera)
        check(plan, camera)
        model = load_model(config.model)
        run = Commissioning(config, camera, model, plan)
        words = announced(camera, plan.lots, plan.lot_minutes, run.budget)
        console.print(words, soft_wrap=True)
        with counting_progress(console) as progress, _in_lines(console) as lines:
            run.told = _told(progress, plan, console, lines)
            reference = run.run()
    except KeyboardInterrupt:
        resume = f"; {plan.collected} goes on with --resume" if plan.collected.exists() else ""
        sys.stderr.write(f"pitwatch: interrupted{resume}\n")
        return EXIT_INTERRUPTED
    except ModelError as error:
        sys.stderr.write(f"pitwatch: {error}\n")
        return EXIT_CONFIG
    except (CommissioningError, ReferenceFileError) as error:
        sys.stderr.write(f"pitwatch: {error}\n")
        return EXIT_REFUSED
    console.print(charted(reference))
    for line in (
        reference.claim,
        f"sense of the angle: {sense_of(reference)}",
        f"wrote {plan.out}; alarms.reference: {{{plan.variety}: {plan.out}}}",
    ):
        console.print(line, soft_wrap=True)
    return EXIT_OK


def check_angle(
    config: Config, camera: str | None, turn: Turn, files: tuple[Path, Path] | None, limit_s: float
) -> int:
    """``pitwatch check-angle``: from two files, or before the camera for at most ``limit_s``. The
    exit code: 0 the sense is right, 1 it is mirrored or cannot be told, 78 the model."""
    torch.set_num_threads(config.model.threads)
    cv2.setNumThreads(1)
    try:
        chosen = _camera(config, camera)
        reader = Reader(config, chosen, load_model(config.model))
        if files is not None:
            found = check_files(reader, *files, turn)
        else:
            ends = time.monotonic() + limit_s
            frames = frames_of(chosen, Wanted("", 1.0))
            with closing(frames):
                found = check_live(
                    reader,
                    frames,
                    turn,
                    lambda words: _say(f"{words} ..."),
                    lambda: time.monotonic() >= ends,
                )
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except ModelError as error:
        sys.stderr.write(f"pitwatch: {error}\n")
        return EXIT_CONFIG
    except CommissioningError as error:
        sys.stderr.write(f"pitwatch: {error}\n")
        return EXIT_REFUSED
    if found.mirrored:
        sys.stderr.write(f"pitwatch: {remedy(chosen, found)}\n")
        return EXIT_REFUSED
    _say(f"{found.lane}: {turned(found)}: the sense of the angle is right")
    return EXIT_OK


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def turned(found: SenseCheck) -> str:
    """The check in words."""
    return (
        f"the fruit was turned by about {found.by_deg:g} degrees, "
        f"its reading by {found.turned_deg:.0f}"
    )


def sense_of(reference: Reference) -> str:
    """What a reference knows of the angle's sense."""
    if reference.sense is None:
        return "not checked; turn one fruit by hand (pitwatch check-angle, or --turned)"
    return f"checked on {reference.sense.lane}: {turned(reference.sense)}"


def charted(reference: Reference) -> Table:
    """What is charted, what is usual, and what is not charted and why."""
    made = Table("signal", "usual", "windows", "lots' share", title=reference.variety)
    for one in reference.signals:
        usual = f"{one.usual[0]:.3g} to {one.usual[1]:.3g}"
        share = f"{one.icc:.2f} (at most {one.icc_upper:.2f})"
        made.add_row(one.name, usual, str(one.windows), share)
    for name, reason in reference.left_out.items():
        made.add_row(name, f"not charted: {reason}", "", "")
    return made


def audited(audit: Audit) -> Table:
    """One row a finding."""
    made = Table("audit", "value", "limit", "", title="commissioning audit")
    for one in audit.findings:
        verdict = "passed" if one.passed else "REFUSED"
        made.add_row(one.name, f"{one.value:.3g}", f"{one.limit:g}", verdict)
    return made


def _camera(config: Config, name: str | None) -> Camera:
    if name is None:
        return config.cameras[0]
    found = next((camera for camera in config.cameras if camera.name == name), None)
    if found is None:
        names = [camera.name for camera in config.cameras]
        raise CommissioningError(f"--camera: {unknown('camera', name, names)}")
    return found


def counting_progress(console: Console, *more: ProgressColumn) -> Progress:
    """Bars of counted things: ``words`` beside each, the time that has passed, and ``more``."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, *more, console=console)


@contextmanager
def _in_lines(console: Console) -> Iterator[Phases]:
    """Who tells a log file; on a terminal nobody, for there are bars."""
    if console.is_terminal and sys.stderr.isatty():
        yield Unseen()
        return
    with spoken() as lines:
        yield lines


def _told(progress: Progress, plan: Plan, console: Console, lines: Phases | None = None) -> Told:
    audit_task = progress.add_task("audit", total=FRUIT, words="")
    lots_task = progress.add_task("lots", total=plan.lots, words="")
    limits_task = progress.add_task("limits", total=None, words="", visible=False)
    heard = lines or Unseen()
    heard.begin("audit", FRUIT)
    begun = {"audit"}

    def said(phase: str, total: int, done: int, words: str = "") -> None:
        if phase not in begun:
            begun.add(phase)
            heard.begin(phase, total)
        heard.done(done, words)

    def on_audited(done: int) -> None:
        progress.update(audit_task, completed=done)
        heard.done(done)

    def on_collected(lots: int, fruit: int, explained: int) -> None:
        words = f"{fruit} fruit, {explained} explained"
        progress.update(lots_task, completed=min(lots, plan.lots), words=words)
        said("collecting lots", plan.lots, max(0, lots), words)

    def on_judged(audit: Audit) -> None:
        write_sheet(audit, plan.pictures)
        console.print(audited(audit))
        console.print(f"pictures of the audit: {plan.pictures}", soft_wrap=True)

    def on_limited(done: int, of: int) -> None:
        progress.update(limits_task, completed=done, total=of, visible=True)
        said("limits of signals", of, done)

    return Told(on_audited, on_collected, on_judged, on_limited)
