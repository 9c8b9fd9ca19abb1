"""From a labelling tool's labels to a folder that ``train --folder`` reads."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.labelling.card import IMAGES, Card, read_card
from agent.labelling.coco import FILE as COCO_FILE
from agent.labelling.coco import read_coco
from agent.labelling.colour_masks import ColourMaskWriter, read_colour_masks
from agent.labelling.cvat import FILE as CVAT_FILE
from agent.labelling.cvat import read_cvat
from agent.labelling.errors import LabellingError
from agent.labelling.label_studio import FILE as TASKS_FILE
from agent.labelling.label_studio import read_label_studio
from agent.labelling.labels import CLASSES, Labelled, Shape
from agent.labelling.place import new_folder

BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """``skip_bad``: leave out what is wrong. ``classes``: other names for suture, stem and
    background."""

    skip_bad: bool = False
    classes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Imported:
    """``problems`` by picture, of those that were left out; ``overlaps``: pictures with the pixels
    that were drawn as both, which are stem; ``unchanged``: as the model had predicted them;
    ``backgrounds``: pictures with the number of shapes of that class, which draw nothing."""

    card: Card
    problems: tuple[str, ...]
    overlaps: Mapping[str, int]
    unchanged: int
    backgrounds: Mapping[str, int]


def import_labels(
    labels: Path,
    export: Path,
    out: Path,
    options: ImportOptions,
    done: Callable[[int], None] = lambda _: None,
) -> Imported:
    """Check the labels of the pictures in the folder ``export``, and write both to ``out``.

    ``LabellingError`` with everything that is wrong, by picture; then nothing is written.
    """
    card = read_card(export)
    tool, found = _read(labels, card.export)
    problems: list[str] = []
    rows: dict[str, dict[str, Any]] = {}
    overlaps: dict[str, int] = {}
    backgrounds: dict[str, int] = {}
    unchanged = 0
    counts = Counter(one.picture for one in found)
    strangers = sorted(counts.keys() - card.pictures.keys())
    if found and len(strangers) == len(counts):
        raise LabellingError(
            f"{labels}: of another project: it has none of the pictures of {export}"
        )
    problems += [f"{name}: is no picture of this export" for name in strangers]
    problems += [f"{name}: has no labels" for name in sorted(card.pictures.keys() - counts.keys())]
    problems += [f"{name}: is labelled {n} times" for name, n in sorted(counts.items()) if n > 1]
    with new_folder(out) as folder:
        (folder / IMAGES).mkdir()
        writer = ColourMaskWriter(folder)
        for number, one in enumerate(found):
            done(number)
            name = one.picture
            if name in strangers or counts[name] > 1:
                continue
            row = dict(card.pictures[name])
            try:
                mask, both = _mask(one, row, options.classes)
                data = _picture(export / IMAGES / name, str(row["sha256"]))
            except ValueError as error:
                problems.append(f"{name}: {error}")
                continue
            if both:
                overlaps[name] = both
            if count := sum(_is_background(shape, options.classes) for shape in one.shapes):
                backgrounds[name] = count
            predicted = row.pop("predicted_sha256", "")
            row["changed"] = hashlib.sha256(mask.tobytes()).hexdigest() != predicted
            unchanged += not row["changed"]
            rows[name] = row | {"labelled_by": tool}
            (folder / IMAGES / name).write_bytes(data)
            writer.add(name, mask)
        if not rows or (problems and not options.skip_bad):
            raise LabellingError(*(problems or [f"{labels}: holds no labels"]))
        about = {
            "export": card.export,
            "labelled_by": tool,
            "pictures_left_out": len(card.pictures) - len(rows),
            "unchanged_predictions": unchanged,
        }
        made = Card(rows, about)
        made.write(folder, "Labelled pictures of the line")
    return Imported(made, tuple(problems), overlaps, unchanged, backgrounds)


def _mask(
    one: Labelled, row: Mapping[str, Any], classes: Mapping[str, str]
) -> tuple[NDArray[np.uint8], int]:
    """The mask, and how many pixels were drawn as both. ``ValueError``."""
    if one.problem:
        raise ValueError(one.problem)
    height, width = int(row["height"]), int(row["width"])
    if one.size is not None and one.size != (height, width):
        found = f"{one.size[1]} x {one.size[0]}"
        raise ValueError(f"labels of {found} pixels, where the picture has {width} x {height}")
    drawn = {label: np.zeros((height, width), np.bool_) for label in CLASSES}
    for number, shape in enumerate(one.shapes, 1):
        if _is_background(shape, classes):
            continue
        label = _class(shape, classes)
        if label not in drawn:
            known = ", ".join((*CLASSES, BACKGROUND))
            raise ValueError(f"shape {number}: unknown class {shape.label!r}; there are {known}")
        try:
            drawn[label] |= shape.draw(height, width)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
            raise ValueError(f"shape {number}, {label}: {error}") from error
    mask = np.zeros((height, width), np.uint8)
    for place, label in enumerate(CLASSES, 1):  # stem over suture, however they were drawn
        mask[drawn[label]] = place
    if not mask.any():
        raise ValueError("an empty label: no suture and no stem")
    return mask, int(np.logical_and.reduce(list(drawn.values())).sum())


def _class(shape: Shape, classes: Mapping[str, str]) -> str:
    return classes.get(shape.label, shape.label).strip().lower()


def _is_background(shape: Shape, classes: Mapping[str, str]) -> bool:
    return _class(shape, classes) == BACKGROUND


def _picture(path: Path, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{path}: is not the picture that was exported")
    return data


def _read(labels: Path, export: str) -> tuple[str, list[Labelled]]:
    """The tool's format, by what the file holds, and the labels."""
    if labels.is_dir():
        for name in (COCO_FILE, CVAT_FILE, TASKS_FILE):
            if (labels / name).is_file():
                return _read(labels / name, export)
        try:
            return "masks", read_colour_masks(labels)
        except OSError as error:
            raise LabellingError(f"{labels}: cannot be listed: {error.strerror}") from error
    try:
        data = labels.read_bytes()
    except OSError as error:
        raise LabellingError(f"{labels}: cannot be read: {error.strerror}") from error
    data = data.removeprefix(codecs.BOM_UTF8)
    if data[:2] == b"PK":
        raise LabellingError(f"{labels}: is an archive; unpack it and name the folder")
    if data.lstrip()[:1] == b"<":
        return "cvat", read_cvat(data, labels)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise LabellingError(f"{labels}: neither XML nor JSON: {error}") from error
    if isinstance(document, list):
        return "label-studio", read_label_studio(document, labels, export)
    if isinstance(document, dict):
        return "coco", read_coco(document, labels)
    raise LabellingError(f"{labels}: is of no format that is known")
