"""What the commands say on a terminal: a progress bar, and lines of facts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agent.ablation.result import EngineResult
from agent.models.plausibility import LEAST_PLAUSIBLE
from agent.records import ClassExplanation


def plausibility_line(plausibility: float) -> str:
    """How like the fruit that the model was made for the picture is, and what follows from it."""
    if math.isnan(plausibility):
        return "plausibility unknown: the model has no statistics of fruit"
    if plausibility < LEAST_PLAUSIBLE:
        return (
            f"plausibility {plausibility:.3f}: implausible, unlike the fruit that the model was "
            "made for; pitwatch run gives no angle"
        )
    return f"plausibility {plausibility:.3f}"


def progress_bar() -> Progress:
    """A progress bar on a terminal's standard error; elsewhere nothing is drawn."""
    console = Console(stderr=True, soft_wrap=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def print_facts(
    out: Console, result: EngineResult, found: ClassExplanation, written: list[Path]
) -> None:
    """One line of facts per file and class on standard output, for people and for grep."""
    if found.explainable:
        out.print(
            f"{found.class_name}: {result.score} y={found.y:.4f} "
            f"y_null-y={found.y_null - found.y:.1e} y_all={found.y_all:.4f} "
            f"spot_error={found.spot_error:.1e} channels={found.deltas.size} "
            f"layer={result.layer} seconds={result.seconds:.2f}"
        )
        for line in _check_lines(result, found):
            out.print(f"{found.class_name}: {line}")
    if found.reason:
        out.print(f"{found.class_name}: {found.reason}")
    for path in written:
        out.print(f"wrote {path}")


def _check_lines(result: EngineResult, found: ClassExplanation) -> Iterator[str]:
    checks = found.checks
    if checks is None:
        return
    if not math.isnan(checks.baseline_correlation):
        yield f"rank correlation of zero and mean baseline {checks.baseline_correlation:.3f}"
    for group in result.study(found.class_name).groups:
        yield (
            f"group of {len(group.channels)} channels from {group.channels[0]}: "
            f"{group.delta:.4f} together, {group.sum_of_single:.4f} one by one"
        )
    if checks.gains:
        yield (
            f"agreement with blocks {found.agreement:.3f}, with HiRes "
            f"{checks.hires_correlation:.3f}"
        )
    for gain in checks.gains:
        yield (
            f"{gain.measure} ({gain.fill}) {gain.auc:.3f}, gain over random "
            f"{gain.over_random:+.3f}, over the mean map {gain.over_mean_map:+.3f}"
        )
