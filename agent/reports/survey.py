"""The work of ``pitwatch study``: every picture through one engine, then tables, plots, report."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from agent.ablation.core.case import check_classes, on_grid
from agent.ablation.core.errors import AblationError
from agent.ablation.core.relevance import class_shares
from agent.ablation.engine import Engine
from agent.ablation.overlay import card_ranges, colour_range
from agent.ablation.result import EngineResult
from agent.ablation.studies.curves import CurveSettings
from agent.ablation.studies.methods import METHODS
from agent.ablation.studies.studies import Studies
from agent.drawing import in_colour
from agent.models.loaded import LoadedModel
from agent.models.loading import load_model
from agent.records import ClassExplanation
from agent.reports import report
from agent.reports.console import progress_bar
from agent.reports.engines import engine_of
from agent.reports.exit_codes import OptionError
from agent.reports.figure import Scene, figure, plain_margin
from agent.reports.masks import dices
from agent.reports.method_sheet import method_sheet
from agent.reports.options import StudyOptions
from agent.reports.sources import Shot
from agent.reports.tables import Observation, Survey

FIGURE_QUALITY = 88


@dataclass(slots=True)
class _State:
    """What has been found so far; ``groups`` in words, fixed by the first picture. ``figures`` and
    ``side_by_side`` (the maps of all methods) are captions and JPEG data."""

    observations: dict[str, list[Observation]]
    problems: list[str]
    figures: list[tuple[str, bytes]]
    groups: str
    side_by_side: list[tuple[str, bytes]] = field(default_factory=list)


def survey_and_report(options: StudyOptions) -> bool:
    """Study the pictures and write the report; whether all were explained.

    ``AblationError`` when none was: there is nothing to report.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.model.threads)
    model, engine = _engine(options)
    state = _State({name: [] for name in engine.settings.classes}, [], [], options.groups)
    facts: dict[str, str] = {}
    with progress_bar() as bar:
        task = bar.add_task("pictures", total=len(options.shots))
        for shot in options.shots:
            try:
                result, drawn = _explained(options, engine, shot, state, bar)
            except AblationError as error:
                state.problems.append(f"{shot.name}: {error}")
            else:
                facts = facts or _facts(options, model, result)
                _observe(model, shot.name, result, drawn, state)
            bar.advance(task)
    seen = {name: found for name, found in state.observations.items() if found}
    if not seen:
        raise AblationError(
            f"{options.source}: none of {len(options.shots)} pictures could be explained: "
            f"{'; '.join(state.problems[:3])}"
        )
    found = Survey(facts, seen, state.problems)
    written = report.write(options.out, found, state.figures, state.side_by_side)
    out = Console(soft_wrap=True, highlight=False, markup=False)
    for problem in state.problems:
        out.print(problem)
    for name, rows in seen.items():
        out.print(f"{name}: {len(rows)} of {len(options.shots)} pictures explained")
    out.print(f"wrote {written}")
    return not state.problems


def _engine(options: StudyOptions) -> tuple[LoadedModel, Engine]:
    model = load_model(options.model)
    try:
        check_classes(model, options.classes)
        engine = engine_of(options, model, options.classes or model.classes[1:])
    except AblationError as error:
        raise OptionError(str(error)) from error
    return model, engine


def _explained(
    options: StudyOptions, engine: Engine, shot: Shot, state: _State, bar: Progress
) -> tuple[EngineResult, NDArray[np.uint8] | None]:
    image, drawn = shot.read()
    task = bar.add_task(shot.name, total=None)
    studies = Studies(
        block_cells=2,
        curves=CurveSettings(seed=options.seed),
        hires=True,
        groups=state.groups,
        maps=options.maps,
        methods=METHODS if options.methods else (),
        other_baseline=engine.has_both_baselines,
    )
    try:
        result = engine.explain(
            image,
            studies=studies,
            tick=lambda study: bar.update(task, description=f"{shot.name}: {study}"),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    finally:
        bar.remove_task(task)
    if state.groups:
        # Clusters of the first picture serve all, or groups of different pictures would be mixed.
        groups = next((one.groups for one in result.studies.values()), ())
        state.groups = ";".join(",".join(map(str, g.channels)) for g in groups) or state.groups
    if len(state.figures) < options.examples * len(engine.settings.classes):
        state.figures += _figures(engine.model, shot.name, image, drawn, result)
        state.side_by_side += _side_by_side(engine.model, shot.name, image, result)
    return result, drawn


def _observe(
    model: LoadedModel,
    name: str,
    result: EngineResult,
    drawn: NDArray[np.uint8] | None,
    state: _State,
) -> None:
    scores: dict[str, float] = {}
    if drawn is not None:
        size = (result.mask.shape[0], result.mask.shape[1])
        scores = dices(result.mask, on_grid(drawn, size), model.classes)
    for record in result.classes:
        if not record.explainable:
            state.problems.append(f"{name}: {record.reason}")
            continue
        state.observations[record.class_name].append(
            Observation(
                name,
                record,
                result.study(record.class_name),
                plain_margin(result, model.classes.index(record.class_name)),
                scores.get(record.class_name, float("nan")),
                result.aperture,
                _share(model, result, record),
            )
        )


def _share(
    model: LoadedModel, result: EngineResult, record: ClassExplanation
) -> NDArray[np.float64]:
    grid = (record.map.shape[0], record.map.shape[1])
    return class_shares(result.mask, result.aperture, model.classes, grid)[record.class_name]


def _side_by_side(
    model: LoadedModel, name: str, image: NDArray[np.uint8], result: EngineResult
) -> list[tuple[str, bytes]]:
    out = []
    for found in result.classes:
        maps = result.study(found.class_name).methods
        if maps:
            own = (result.mask == model.classes.index(found.class_name)) & result.aperture
            data = _jpeg(method_sheet(f"{name}: {found.class_name}", image, own, maps))
            out += [(f"{name}, {found.class_name}: all methods", data)]
    return out


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, FIGURE_QUALITY])
    if not done:
        raise AblationError("a figure cannot be encoded as JPEG")
    return data.tobytes()


def _figures(
    model: LoadedModel,
    name: str,
    image: NDArray[np.uint8],
    drawn: NDArray[np.uint8] | None,
    result: EngineResult,
) -> list[tuple[str, bytes]]:
    picture = in_colour(image)
    out = []
    for found in result.classes:
        scene = Scene(
            image_bgr=picture,
            drawn=drawn,
            result=result,
            found=found,
            index=model.classes.index(found.class_name),
            limits=colour_range(found, None, card_ranges(model.card, result)),
            title=f"{name}: {found.class_name}   {model.name}, {result.layer}",
        )
        out.append((f"{name}, {found.class_name}", _jpeg(figure(scene))))
    return out


def _facts(options: StudyOptions, model: LoadedModel, result: EngineResult) -> dict[str, str]:
    return {
        "pictures": f"{options.source} ({len(options.shots)})",
        "model": f"{model.name}, sha256 {model.sha256[:16]}",
        "layer": f"{result.layer}, run by {result.path}",
        "score": result.score,
        "baseline": result.baseline,
        "region": (
            f"{result.region_source}; a cell belongs to it from {result.region_threshold:.0%} "
            "of its area"
        ),
        "seed": str(options.seed),
    }
