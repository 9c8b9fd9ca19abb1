"""``pitwatch train`` and ``pitwatch evaluate``: progress, tables and files around the functions."""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
from rich.console import Console
from rich.table import Table

from agent import config
from agent.models.loading import load_model
from agent.output_file import output_refusal
from agent.phases import shown
from agent.segmentation.segmenter import Analysis
from agent.simulator.render import Look
from agent.training.cases import Case, simulated_cases
from agent.training.errors import TrainingError
from agent.training.evaluate import Evaluation, Outcome, evaluate
from agent.training.train import Trained, TrainOptions, folder_cases, train
from agent.training.worst import WorstSheet

EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """``folder`` None: ``count`` fruit of this simulator seed."""

    model: config.Model = field(default_factory=config.Model)
    folder: Path | None = None
    seed: int = 1
    count: int = 500
    faint: float = Look().faint
    json: Path | None = None
    sheet: Path | None = None
    device: str = "cpu"


def train_with_progress(options: TrainOptions, console: Console) -> Trained:
    """Train with a bar for each phase on ``console``, or lines in a log file; print the numbers.

    Ctrl-C ends the program (130) and says how to go on.
    """
    try:
        with shown(console) as phases:
            trained = train(options, phases=phases)
    except KeyboardInterrupt:
        kept = options.checkpoint
        resume = f"; {kept} goes on with --resume" if kept.exists() else ""
        sys.stderr.write(f"pitwatch: interrupted{resume}\n")
        raise SystemExit(EXIT_INTERRUPTED) from None
    for name, result in trained.evaluations.items():
        console.print(table(result.summary(), f"held-out data: {name}"))
    wrote = f"wrote {options.out} and its card, sha256 {trained.card.sha256}"
    console.print(wrote, soft_wrap=True)
    return trained


def evaluate_with_progress(options: EvaluateOptions, console: Console) -> Evaluation:
    """Judge a model, print the table, write JSON and the sheet of the worst cases where wanted."""
    for out in filter(None, (options.json, options.sheet)):
        if refused := output_refusal(out, out.suffix):
            raise TrainingError(refused)
    model = load_model(options.model, options.device)
    if options.folder is not None:
        cases = folder_cases(options.folder)
        title = str(options.folder)
    else:
        cases = simulated_cases(options.seed, options.count, look=Look(faint=options.faint))
        title = f"simulator seed {options.seed}"
    sheet = WorstSheet()
    with shown(console) as phases:
        phases.begin("evaluating", None if options.folder else options.count)
        count = itertools.count(1)

        def on_case(case: Case, analysis: Analysis, outcome: Outcome) -> None:
            phases.done(next(count))
            if options.sheet is not None:
                sheet.add(case, analysis, outcome)

        result = evaluate(model, cases, on_case=on_case)
    console.print(table(result.summary(), f"{model.name} on {title}"))
    if options.json is not None:
        document = {"model": model.name, "sha256": model.sha256, "data": title, **result.as_json()}
        try:
            options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise TrainingError(f"{options.json}: cannot be written: {error}") from error
    if options.sheet is not None and not _written(options.sheet, sheet):
        raise TrainingError(f"{options.sheet}: the sheet cannot be written")
    return result


def table(numbers: Mapping[str, float], title: str) -> Table:
    """Two columns: name and value."""
    made = Table("number", "value", title=title)
    for name, value in numbers.items():
        made.add_row(name, "-" if math.isnan(value) else f"{value:.4g}")
    return made


def _written(path: Path, sheet: WorstSheet) -> bool:
    try:
        return bool(cv2.imwrite(str(path), sheet.image()))
    except cv2.error:
        return False
