"""``pitwatch explain``: one picture to a figure, numbers and arrays.

Importing this module loads no network library, so that a command line can be built from it.
"""

from __future__ import annotations

import errno
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import config
from agent.telemetry import log_event

if TYPE_CHECKING:
    from agent.ablation.result import EngineResult
    from agent.models.loaded import LoadedModel
    from agent.records import ClassExplanation

logger = logging.getLogger(__name__)

METHODS = ("ablation-cam", "region-occlusion")
EXIT_OK, EXIT_FAILED, EXIT_CONFIGURATION = 0, 1, 78


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions:
    """One picture, one class.

    With none of ``out``, ``json`` and ``npz`` given, the figure goes to
    ``<picture's stem>-explained.png`` in the working directory. ``layer`` at None is the model
    card's; ``class_name`` at None the first foreground class, and it may be an index. ``mask`` is a
    colour mask (white bar = suture, green = stem) shown beside the prediction and compared with it.
    """

    picture: Path
    out: Path | None = None
    json: Path | None = None
    npz: Path | None = None
    mask: Path | None = None
    model: config.Model = field(default_factory=config.Model)
    layer: str | None = None
    class_name: str | None = None
    method: str = "ablation-cam"
    score: config.Score = config.Score.MARGIN
    region_threshold: float = 0.5
    overlay_range: float | None = None
    seed: int = 0


class OptionError(Exception):
    """Something asked for that is not there; the message names what there is."""


def explain_picture(options: ExplainOptions) -> int:
    """Explain one picture and write what was asked for; returns the exit code.

    0: explained. 1: the picture or a control failed, or the class has no pixel (figure and numbers
    then say so). 78: the model, layer, class or method that was named is not there.
    """
    from rich.console import Console

    from agent.ablation.errors import AblationError
    from agent.models.errors import ModelError

    errors = Console(stderr=True)
    try:
        return _explain(options)
    except (OptionError, ModelError) as error:
        code, message = EXIT_CONFIGURATION, str(error)
    except OSError as error:
        code = EXIT_FAILED
        message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except AblationError as error:
        code, message = EXIT_FAILED, str(error)
    errors.print(f"pitwatch explain: {message}", markup=False, highlight=False, soft_wrap=True)
    return code


def _explain(options: ExplainOptions) -> int:
    import numpy as np
    import torch

    from agent.ablation.engine import Engine
    from agent.ablation.errors import AblationError
    from agent.ablation.masks import decode, read_picture
    from agent.models.loading import load_model

    if options.method not in METHODS:
        raise OptionError(f"no method {options.method!r}; there are: {', '.join(METHODS)}")
    _check_outputs(options)
    image = read_picture(options.picture)
    drawn = None if options.mask is None else decode(read_picture(options.mask))
    # More threads inside operators gain little here, and lose everything on a busy machine: they
    # wait for each other actively.
    torch.set_num_threads(options.model.threads)
    model = load_model(options.model)
    if drawn is not None and int(drawn.max()) >= len(model.classes):
        raise AblationError(
            f"{options.mask}: holds class {int(drawn.max())}, but {model.name} has "
            f"{len(model.classes)} classes: {', '.join(model.classes)}"
        )
    name = _class_name(model, options.class_name)
    settings = config.Ablation(
        classes=(name,),
        score=options.score,
        region_threshold=options.region_threshold,
        seed=options.seed,
    )
    try:
        engine = Engine(model, settings, options.layer)
    except AblationError as error:
        raise OptionError(str(error)) from error
    result = _with_progress(engine, image)
    found = result.classes[0]
    picture = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    written = _write(options, model, result, found, picture[..., :3], drawn)
    _report(result, found, written)
    return EXIT_OK if found.explainable else EXIT_FAILED


def _check_outputs(options: ExplainOptions) -> None:
    """Notice before the work what would lose its result: a folder missing, another format."""
    if options.out is not None and options.out.suffix.lower() not in ("", ".png"):
        raise OptionError(f"{options.out}: the figure is a PNG, so its name must end in .png")
    for path in (options.out, options.json, options.npz):
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, f"there is no folder {path.parent}", str(path))


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


def _with_progress(engine: Any, image: Any) -> EngineResult:
    """Run with a progress bar on a terminal's standard error; elsewhere without."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("ablating", total=None)
        result: EngineResult = engine.explain(
            image, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
        return result


def _write(
    options: ExplainOptions,
    model: LoadedModel,
    result: EngineResult,
    found: ClassExplanation,
    image: Any,
    drawn: Any,
) -> list[Path]:
    import cv2

    from agent.ablation import files
    from agent.ablation.figure import FIGURES, Scene
    from agent.ablation.masks import dices
    from agent.ablation.overlay import card_ranges, colour_range
    from agent.ablation.picture import on_grid

    limits = colour_range(found, options.overlay_range, card_ranges(model.card, result))
    written = []
    out = options.out
    if out is None and options.json is None and options.npz is None:
        out = Path(f"{options.picture.stem}-explained.png")
    if out is not None:
        title = f"{options.picture.name}: {found.class_name}   {model.name}, {result.layer}"
        scene = Scene(
            image_bgr=image,
            drawn=drawn,
            result=result,
            found=found,
            index=model.classes.index(found.class_name),
            limits=limits,
            title=title,
        )
        done, data = cv2.imencode(".png", FIGURES[options.method](scene))
        if not done:
            raise OSError(f"{out}: the figure cannot be encoded")
        out.write_bytes(data.tobytes())
        written.append(out)
    if options.json is not None:
        content = files.numbers(model, result, found)
        content["method"] = options.method
        content["picture"] = options.picture.name
        content["overlay_range"] = {"value": limits.value, "fixed": limits.fixed}
        if drawn is not None:
            truth = on_grid(drawn, (result.mask.shape[0], result.mask.shape[1]))
            scores = dices(result.mask, truth, model.classes)
            content["dice_to_mask"] = {k: None if math.isnan(v) else v for k, v in scores.items()}
        files.write_json(options.json, content)
        written.append(options.json)
    if options.npz is not None:
        files.write_npz(options.npz, files.arrays(result, found))
        written.append(options.npz)
    return written


def _report(result: EngineResult, found: ClassExplanation, written: list[Path]) -> None:
    """One line of facts per file and class on standard output, for people and for grep."""
    from rich.console import Console

    out = Console(soft_wrap=True, highlight=False, markup=False)
    if found.explainable:
        out.print(
            f"{found.class_name}: {result.score} y={found.y:.4f} "
            f"y_null-y={found.y_null - found.y:.1e} y_all={found.y_all:.4f} "
            f"spot_error={found.spot_error:.1e} channels={found.deltas.size} "
            f"layer={result.layer} seconds={result.seconds:.2f}"
        )
        if found.reason:
            out.print(f"{found.class_name}: {found.reason}")
    else:
        out.print(f"{found.class_name}: {found.reason}")
    for path in written:
        out.print(f"wrote {path}")
    log_event(logger, logging.DEBUG, "picture_explained", layer=result.layer, path=result.path)
