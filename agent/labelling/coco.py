"""COCO: one JSON file of pictures, categories and annotations."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.labelling.errors import LabellingError
from agent.labelling.labels import CLASSES, Labelled, Shape, base_name, cannot_draw
from agent.labelling.runs import counts_of, mask_of, unpack_counts
from agent.labelling.shapes import polygon_mask, polygons

FILE = "annotations/instances_default.json"
_WRONG = (LookupError, TypeError, ValueError, AttributeError, OverflowError)


class CocoWriter:
    """``as_polygons``: outlines; else run lengths, which COCO marks as ``iscrowd``."""

    def __init__(self, export: str, as_polygons: bool) -> None:
        self._as_polygons = as_polygons
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._export = export

    def add(self, name: str, mask: NDArray[np.uint8]) -> None:
        """A picture with its (H, W) classes."""
        height, width = mask.shape
        image = {"id": len(self._images) + 1, "file_name": name, "height": height, "width": width}
        self._images.append(image)
        for place in range(1, len(CLASSES) + 1):
            drawn = mask == place
            if not drawn.any():
                continue
            rows, columns = np.nonzero(drawn)
            left, top = int(columns.min()), int(rows.min())
            if self._as_polygons:
                segmentation: Any = [ring.ravel().tolist() for ring in polygons(drawn)]
            else:
                counts = counts_of(drawn.ravel(order="F"))
                segmentation = {"counts": counts, "size": [height, width]}
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image["id"],
                    "category_id": place,
                    "segmentation": segmentation,
                    "area": int(drawn.sum()),
                    "bbox": [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top],
                    "iscrowd": int(not self._as_polygons),
                }
            )

    def finish(self, folder: Path) -> None:
        """``OSError``."""
        document = {
            "info": {"description": f"pitwatch export {self._export}", "version": "1"},
            "licenses": [],
            "images": self._images,
            "annotations": self._annotations,
            "categories": [
                {"id": place, "name": name, "supercategory": ""}
                for place, name in enumerate(CLASSES, 1)
            ],
        }
        (folder / FILE).parent.mkdir()
        (folder / FILE).write_text(json.dumps(document))


def read_coco(document: dict[str, Any], place: Path) -> list[Labelled]:
    """``LabellingError`` where the document is none of COCO.

    What is wrong with an entry whose picture is known is the problem of that picture.
    """
    try:
        names = {one["id"]: str(one["name"]) for one in document["categories"]}
        by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for one in document["annotations"]:
            by_image[one["image_id"]].append(one)
        made = [
            _image(base_name(str(image["file_name"])), image, by_image, names)
            for image in document["images"]
        ]
    except _WRONG as error:
        raise LabellingError(f"{place}: is no COCO file: {error!r}") from error
    if by_image:
        stray = ", ".join(sorted(map(str, by_image))[:5])
        raise LabellingError(f"{place}: annotations of pictures that it does not name: {stray}")
    return made


def _image(
    name: str,
    image: dict[str, Any],
    by_image: dict[Any, list[dict[str, Any]]],
    names: dict[Any, str],
) -> Labelled:
    """Takes its annotations out of ``by_image``."""
    try:
        notes = by_image.pop(image["id"], ())
        size = (int(image["height"]), int(image["width"]))
        return Labelled(name, size, tuple(_shape(one, names) for one in notes))
    except _WRONG as error:
        return Labelled(name, None, (), f"is no picture as COCO has it: {error!r}")


def _shape(one: dict[str, Any], names: dict[Any, str]) -> Shape:
    label = names.get(one["category_id"], f"category {one['category_id']}")
    return Shape(label, _draw(one.get("segmentation")))


def _draw(segmentation: Any) -> Any:
    if isinstance(segmentation, dict):
        return partial(_runs, segmentation)
    if isinstance(segmentation, list) and segmentation:
        # Some tools write one polygon without the list around it.
        rings = segmentation if isinstance(segmentation[0], list) else [segmentation]
        return partial(_rings, rings)
    return cannot_draw("an annotation without a mask; draw masks or polygons, no boxes")


def _runs(segmentation: dict[str, Any], height: int, width: int) -> NDArray[np.bool_]:
    if segmentation.get("size") != [height, width]:
        raise ValueError(f"a mask of size {segmentation.get('size')}, not {[height, width]}")
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        counts = unpack_counts(counts)
    return mask_of(counts or [], height * width).reshape((height, width), order="F")


def _rings(rings: list[list[float]], height: int, width: int) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), np.bool_)
    for ring in rings:
        if not isinstance(ring, list) or len(ring) % 2:
            raise ValueError("a polygon with half a corner")
        corners = [float(one) for one in ring]
        mask |= polygon_mask(list(zip(corners[::2], corners[1::2], strict=True)), height, width)
    return mask
