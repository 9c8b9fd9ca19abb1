"""What can be known before a commissioning begins: that its results have a place, that nothing
collected is lost by it, and how long it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from agent.alarms.charts.budget import Budget
from agent.alarms.charts.lots import LEAST_LOTS
from agent.capture.source import SourceError
from agent.capture.urls import parse
from agent.commissioning.design import windows_for
from agent.commissioning.errors import CommissioningError
from agent.commissioning.samples import samples_in
from agent.config import Camera
from agent.nearest import unknown
from agent.output_file import output_refusal
from agent.phases import duration
from agent.simulator.parameters import ParameterError, parse_url

SUFFIX = ".json"
ROOM_BYTES = 64_000_000
"""The samples of a dozen lots take half of it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is to become of samples that an earlier run collected: gone on from, or thrown away."""

    resume: bool = False
    discard: bool = False


def check_results(out: Path, collected: Path, kept: Kept) -> None:
    """``CommissioningError`` where the reference could not be written, or where samples of an
    earlier run would be lost that nobody gave up."""
    if refused := output_refusal(out, SUFFIX, ROOM_BYTES):
        raise CommissioningError(f"--out: {refused}")
    if kept.resume and kept.discard:
        raise CommissioningError("--resume and --discard: one of the two")
    if kept.resume or kept.discard:
        return
    if many := samples_in(collected):
        raise CommissioningError(
            f"{collected}: holds {many} samples that an earlier run collected; --resume goes on "
            "with them, --discard throws them away"
        )


def check_variety(camera: Camera, variety: str) -> None:
    """``CommissioningError`` for a variety that a simulated machine never runs: it would be waited
    for without end."""
    if not camera.source.startswith("sim:"):
        return
    try:
        runs = parse_url(camera.source, camera.sim).machine.varieties
    except ParameterError as error:
        raise CommissioningError(f"{camera.name}: {error}") from error
    if runs and variety not in runs:
        raise CommissioningError(f"--variety: {unknown('variety', variety, runs)} on {camera.name}")


def lots_for(asked: int, lot_s: float, budget: Budget) -> int:
    """Lots of that length until a reference can be made: a lot's last window is not whole."""
    windows = max(1, math.floor(lot_s / budget.window_s) - 1)
    return max(asked, LEAST_LOTS, math.ceil(windows_for(budget) / windows))


def announced(camera: Camera, lots: int, lot_minutes: float, budget: Budget) -> str:
    """How long it takes, in words."""
    many = lots_for(lots, 60.0 * lot_minutes, budget)
    needs = (
        f"{many} lots; of {lot_minutes:g} minutes each, as where the machine names none, that is "
        f"{duration(60.0 * many * lot_minutes)} of production"
    )
    if is_recording(camera):
        return f"collecting takes {needs}, read as fast as this computer goes"
    return f"collecting takes {needs}, stops and other varieties not counted"


def is_recording(camera: Camera) -> bool:
    """Whether the source is read faster than it was produced."""
    try:
        return parse(camera.source).scheme in ("sim", "file")
    except SourceError:
        return False
