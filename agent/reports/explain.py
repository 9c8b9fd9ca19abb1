"""The work of ``pitwatch explain``: one engine, one picture or many, their files and lines."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress

from agent.ablation.core.case import on_grid
from agent.ablation.core.errors import AblationError
from agent.ablation.core.focus import Focus, given, parse_focus
from agent.ablation.engine import Engine
from agent.ablation.overlay import card_ranges, colour_range
from agent.ablation.result import EngineResult
from agent.ablation.run.fills import Fill
from agent.ablation.studies.curves import CurveSettings
from agent.ablation.studies.methods import EIGEN, GRAD, HIRES
from agent.ablation.studies.patches import PatchSettings, boxes
from agent.ablation.studies.studies import Studies
from agent.drawing import Image, in_colour
from agent.models.loaded import LoadedModel
from agent.models.loading import load_model
from agent.models.plausibility import LEAST_PLAUSIBLE, Plausibility, plausibility_of_batch
from agent.reports import files
from agent.reports.console import plausibility_line, print_facts, progress_bar
from agent.reports.engines import engine_of
from agent.reports.exit_codes import OptionError
from agent.reports.figure import Scene, figure
from agent.reports.layer_sheet import layer_sheet, matching_layers
from agent.reports.masks import dices, inside, read_drawn
from agent.reports.options import ExplainOptions
from agent.reports.sources import Shot, file_shot, folder_shots
from agent.telemetry import log_event

logger = logging.getLogger(__name__)


SIDE_BY_SIDE = (GRAD, HIRES, EIGEN)
"""Methods whose maps take the place of Ablation-CAM's in its figure."""


@dataclass(frozen=True, slots=True)
class Worker:
    """What all pictures share."""

    options: ExplainOptions
    model: LoadedModel
    engine: Engine
    focus: Focus | None
    studies: Studies
    out: Console
    plausibility: Plausibility

    def writing(self, out: Path | None, json: Path | None, npz: Path | None) -> Worker:
        """The same, for a picture whose files go there; None: not wanted."""
        return replace(self, options=replace(self.options, out=out, json=json, npz=npz))


def explain_all(options: ExplainOptions) -> bool:
    """Everything that was asked for; whether every picture was explained."""
    if options.picture.is_dir():
        shots = folder_shots(options.picture, options.bit_depth)
        worker = _worker(options)
        with progress_bar() as bar:
            return _explain_folder(worker, shots, bar)
    # Nothing is loaded for a picture that cannot be read.
    image, drawn = file_shot(options.picture, options.mask, options.bit_depth).read()
    worker = _worker(options)
    with progress_bar() as bar:
        _check_mask(worker, drawn)
        asked = any((options.out, options.json, options.npz))
        explained = True
        if asked or options.sheet is None:
            out = options.out if asked else Path(f"{options.picture.stem}-explained.png")
            one = worker.writing(out, options.json, options.npz)
            explained = _explain(one, options.picture.name, (image, drawn), bar)
        if options.sheet is not None:
            _sheet(worker, image, bar)
    return explained


def _worker(options: ExplainOptions) -> Worker:
    try:
        words = parse_focus(options.region)
        focus = given(inside(read_drawn(Path(words)))) if isinstance(words, str) else words
        patches = PatchSettings(
            options.patch.size_px,
            options.patch.stride_px,
            Fill(options.patch.fill),
            options.patch.dice,
        )
    except AblationError as error:
        raise OptionError(str(error)) from error
    # More threads inside operators gain little here, and lose everything on a busy machine: they
    # wait for each other actively.
    torch.set_num_threads(options.model.threads)
    model = load_model(options.model)
    name = _class_name(model, options.class_name)
    judge = Plausibility(model)
    try:
        engine = engine_of(options, model, (name,))
        grid = model.preprocessing.height_px, model.preprocessing.width_px
        if options.method == "occlusion" or options.npz is not None:
            boxes(grid, patches)
        if options.sheet is not None:
            matching_layers(model, options.layers)
    except AblationError as error:
        raise OptionError(str(error)) from error
    return Worker(
        options=options,
        model=model,
        engine=engine,
        focus=focus,
        studies=_studies(options, patches),
        out=Console(soft_wrap=True, highlight=False, markup=False),
        plausibility=judge,
    )


def _studies(options: ExplainOptions, patches: PatchSettings) -> Studies:
    """What the method and the files need beyond the explanation itself."""
    maps = options.npz is not None
    return Studies(
        patches=patches if maps or options.method == "occlusion" else None,
        block_cells=2 if maps or options.checks else 0,
        curves=CurveSettings(seed=options.seed) if options.checks else None,
        hires=maps or options.checks or options.method == HIRES,
        methods=(options.method,) if options.method in SIDE_BY_SIDE else (),
        groups=options.groups,
        other_baseline=options.baseline == "mean",
    )


def _class_name(model: LoadedModel, wanted: str | None) -> str:
    """A class by name or index; None is the first foreground class."""
    if wanted is None:
        wanted = "1"
    if wanted in model.classes:
        return wanted
    if wanted.isdecimal() and int(wanted) < len(model.classes):
        return model.classes[int(wanted)]
    known = ", ".join(f"{i} {name}" for i, name in enumerate(model.classes))
    raise OptionError(f"{model.name}: no class {wanted!r}; there are: {known}")


def _check_mask(worker: Worker, drawn: Image | None) -> None:
    classes = worker.model.classes
    if drawn is not None and int(drawn.max()) >= len(classes):
        raise AblationError(
            f"{worker.options.mask or 'its mask'}: holds class {int(drawn.max())}, but "
            f"{worker.model.name} has {len(classes)} classes: {', '.join(classes)}"
        )


def _explain_folder(worker: Worker, shots: list[Shot], bar: Progress) -> bool:
    """Every picture for itself: one that fails is named, counted, and costs no other."""
    options = worker.options
    figures = options.out
    if not any((options.out, options.json, options.npz)):
        figures = Path(f"{options.picture.resolve().name}-explained")
    for folder in (figures, options.json, options.npz):
        if folder is not None:
            folder.mkdir(exist_ok=True)
    failed = 0
    task = bar.add_task(f"{options.picture.name}: pictures", total=len(shots))
    for shot in shots:
        one = worker.writing(
            figures and figures / f"{shot.name}.png",
            options.json and options.json / f"{shot.name}.json",
            options.npz and options.npz / f"{shot.name}.npz",
        )
        try:
            pair = shot.read()
            _check_mask(worker, pair[1])
            explained = _explain(one, shot.name, pair, bar)
        except AblationError as error:
            bar.console.print(f"{shot.name}: {error}", markup=False, highlight=False)
            explained = False
        failed += not explained
        bar.advance(task)
    worker.out.print(f"{len(shots) - failed} of {len(shots)} pictures explained")
    return failed == 0


def _explain(worker: Worker, name: str, pair: tuple[Image, Image | None], bar: Progress) -> bool:
    image, drawn = pair
    task = bar.add_task("ablating", total=None)
    result = worker.engine.explain(
        image,
        region=worker.focus,
        studies=worker.studies,
        tick=lambda study: bar.update(task, description=study.replace("_", " "), total=None),
        progress=lambda done, total: bar.update(task, completed=done, total=total),
    )
    bar.remove_task(task)
    found = result.classes[0]
    scene = _scene(worker, name, result, in_colour(image), drawn)
    written = _write(worker, scene, name)
    worker.out.print(plausibility_line(scene.plausibility))
    print_facts(worker.out, result, found, written)
    log_event(
        logger,
        logging.DEBUG,
        "picture_explained",
        picture=name,
        layer=result.layer,
        path=result.path,
    )
    return found.explainable


def _scene(
    worker: Worker, name: str, result: EngineResult, image: Image, drawn: Image | None
) -> Scene:
    found = shown = result.classes[0]
    other = next(iter(result.study(found.class_name).methods), None)
    if other is not None:
        if other.map is None:
            raise AblationError(f"no map by {other.name}: {other.reason}")
        shown = replace(found, map=other.map)
    batch = torch.from_numpy(result.input).to(worker.model.device)[None]
    plausible = float(plausibility_of_batch(worker.model, worker.plausibility, batch)[0])
    ranges = None if other is not None else card_ranges(worker.model.card, result)
    return Scene(
        image_bgr=image,
        drawn=drawn,
        result=result,
        found=shown,
        index=worker.model.classes.index(found.class_name),
        limits=colour_range(shown, None, ranges),
        title=f"{name}: {found.class_name}   {worker.model.name}, {result.layer}",
        plausibility=plausible,
    )


def _write(worker: Worker, scene: Scene, name: str) -> list[Path]:
    options, result = worker.options, scene.result
    found = result.classes[0]
    written = []
    if options.out is not None:
        files.write_png(options.out, figure(scene, options.method))
        written.append(options.out)
    if options.json is not None:
        content = files.numbers(worker.model, result, found)
        content["method"] = options.method
        content["picture"] = name
        content["plausibility"] = scene.plausibility
        content["implausible"] = scene.plausibility < LEAST_PLAUSIBLE
        content["overlay_range"] = {"value": scene.limits.value, "fixed": scene.limits.fixed}
        if scene.drawn is not None:
            truth = on_grid(scene.drawn, (result.mask.shape[0], result.mask.shape[1]))
            content["dice_to_mask"] = dices(result.mask, truth, worker.model.classes)
        files.write_json(options.json, content)
        written.append(options.json)
    if options.npz is not None:
        files.write_npz(options.npz, files.arrays(result, found, scene.index))
        written.append(options.npz)
    return written


def _sheet(worker: Worker, image: Image, bar: Progress) -> None:
    path = worker.options.sheet
    assert path is not None
    task = bar.add_task("layers", total=None)
    picture = layer_sheet(
        worker.model,
        worker.engine.settings,
        image,
        worker.focus,
        worker.options.layers,
        lambda done, total: bar.update(task, completed=done, total=total),
    )
    files.write_png(path, picture)
    worker.out.print(f"wrote {path}")
