"""From records to a folder for a labelling tool."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.dataset import Record, RecordError, records
from agent.dataset.record import PICTURE
from agent.labelling.card import IMAGES, Card
from agent.labelling.choose import Candidate, Spread, candidates
from agent.labelling.coco import CocoWriter
from agent.labelling.colour_masks import ColourMaskWriter
from agent.labelling.cvat import CvatWriter
from agent.labelling.errors import LabellingError
from agent.labelling.label_studio import LabelStudioWriter
from agent.labelling.labels import CLASSES
from agent.labelling.nearness import Seen, picture_hash
from agent.labelling.place import new_folder

LOCAL_FILES = "/data/local-files/?d=images/"
"""Where Label Studio finds pictures of a folder that it was given as local storage."""


class Format(enum.StrEnum):
    """Of labels."""

    COCO = "coco"
    COCO_POLYGONS = "coco-polygons"
    CVAT = "cvat"
    LABEL_STUDIO = "label-studio"
    MASKS = "masks"


class Writer(Protocol):
    """Of one format; pictures are given one after the other."""

    def add(self, name: str, mask: NDArray[np.uint8]) -> None:
        """A picture with its (H, W) classes: 0 background, 1 suture, 2 stem."""
        ...

    def finish(self, folder: Path) -> None:
        """Write the labels of all. ``OSError``."""
        ...


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """``count`` 0: all. ``prefix``: of picture URLs for Label Studio."""

    format: Format
    count: int = 0
    seed: int = 0
    thin: bool = True
    prefix: str = LOCAL_FILES


@dataclass(frozen=True, slots=True)
class Exported:
    """``card`` of what was written, ``near`` duplicates left out, ``damaged`` records by name."""

    card: Card
    near: int
    damaged: tuple[str, ...]


def export(
    root: Path,
    out: Path,
    options: ExportOptions,
    done: Callable[[int], None] = lambda _: None,
) -> Exported:
    """Write records below ``root`` to the new folder ``out``.

    Damaged records are left out and named. ``LabellingError`` where there is no record that can be
    exported, ``out`` is no empty folder, or the disk refuses.
    """
    if not root.is_dir():
        raise LabellingError(f"{root}: no such folder")
    whole: list[Record] = []
    damaged: list[str] = []
    try:
        for one in records(root):
            if isinstance(one, RecordError):
                damaged.append(str(one))
            else:
                whole.append(one)
    except OSError as error:
        raise LabellingError(f"{root}: cannot be listed: {error.strerror}") from error
    spread, seen = Spread(candidates(whole), options.seed), Seen()
    rows: dict[str, dict[str, Any]] = {}
    near = 0
    name = hashlib.sha256("\n".join([str(options.seed), *(r.id for r in whole)]).encode())
    export_name = name.hexdigest()[:12]
    with new_folder(out) as folder:
        writer = _writer(folder, options, export_name)
        (folder / IMAGES).mkdir()
        for candidate in spread:
            if options.count and len(rows) >= options.count:
                break
            try:
                picture, mask = candidate.record.picture(), class_mask(candidate.record)
                data = (candidate.record.folder / PICTURE).read_bytes()
            except (RecordError, FileNotFoundError) as error:
                damaged.append(str(error))
                continue
            if options.thin and not seen.takes(picture_hash(picture)):
                near += 1
                continue
            spread.taken(candidate)
            file = f"{candidate.record.id}.png"
            (folder / IMAGES / file).write_bytes(data)
            writer.add(file, mask)
            rows[file] = _row(candidate, mask)
            done(len(rows))
        if not rows:
            raise LabellingError(f"{root}: holds no record that can be exported", *damaged)
        writer.finish(folder)
        about = {
            "export": export_name,
            "format": str(options.format),
            "seed": options.seed,
            "records_seen": len(whole),
            "near_duplicates_left_out": near,
            "damaged_records_left_out": len(damaged),
        }
        card = Card(rows, about)
        card.write(folder, "Pictures of the line to be labelled")
    return Exported(card, near, tuple(damaged))


def class_mask(record: Record) -> NDArray[np.uint8]:
    """(H, W) uint8: 0 background, 1 suture, 2 stem. ``RecordError`` for a model of other classes
    and a mask that cannot be read."""
    if missing := [one for one in CLASSES if one not in record.classes]:
        problem = f"its model has no class {' and no class '.join(missing)}"
        raise RecordError(record.folder, problem)
    table = [CLASSES.index(one) + 1 if one in CLASSES else 0 for one in record.classes]
    return np.asarray(np.array(table, np.uint8)[record.mask()], np.uint8)


def _writer(folder: Path, options: ExportOptions, name: str) -> Writer:
    match options.format:
        case Format.COCO | Format.COCO_POLYGONS:
            return CocoWriter(name, options.format is Format.COCO_POLYGONS)
        case Format.CVAT:
            return CvatWriter(name)
        case Format.LABEL_STUDIO:
            return LabelStudioWriter(name, options.prefix)
        case Format.MASKS:
            return ColourMaskWriter(folder)


def _row(candidate: Candidate, mask: NDArray[np.uint8]) -> dict[str, Any]:
    record = candidate.record
    return {
        "record": record.id,
        "lot": record.lot,
        "camera": record.camera,
        "variety": record.variety,
        "captured_at": record.captured_at.isoformat(timespec="milliseconds"),
        "model": record.model,
        "model_sha256": record.model_sha256,
        "reason": candidate.reason,
        "reasons": list(record.reasons),
        "height": record.height,
        "width": record.width,
        "sha256": record.picture_sha256,
        "predicted_sha256": hashlib.sha256(mask.tobytes()).hexdigest(),
    }
