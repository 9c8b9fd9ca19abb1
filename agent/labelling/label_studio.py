"""Label Studio: a JSON list of tasks, masks as brushes."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from agent.labelling.errors import LabellingError
from agent.labelling.labels import CLASSES, Labelled, Shape, base_name, cannot_draw
from agent.labelling.runs import pack_brush, unpack_brush
from agent.labelling.shapes import ellipse_mask, polygon_mask

FILE, CONFIG = "tasks.json", "label_config.xml"
_CONFIG = """<View>
  <Image name="image" value="$image" zoom="true"/>
  <BrushLabels name="label" toName="image">
    <Label value="suture" background="#ffffff"/>
    <Label value="stem" background="#00ff00"/>
  </BrushLabels>
</View>
"""


class LabelStudioWriter:
    """Tasks with predictions, and the labelling interface that they are for.

    ``prefix``: the URL before a picture's name; local files of Label Studio are named so.
    """

    def __init__(self, export: str, prefix: str) -> None:
        self._export = export
        self._prefix = prefix
        self._tasks: list[dict[str, Any]] = []

    def add(self, name: str, mask: NDArray[np.uint8]) -> None:
        """A picture with its (H, W) classes."""
        height, width = mask.shape
        result = [
            {
                "id": f"{len(self._tasks)}-{label}",
                "type": "brushlabels",
                "from_name": "label",
                "to_name": "image",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {
                    "format": "rle",
                    "rle": pack_brush(mask == place),
                    "brushlabels": [label],
                },
            }
            for place, label in enumerate(CLASSES, 1)
            if (mask == place).any()
        ]
        data = {
            "image": f"{self._prefix}{name}",
            "pitwatch_picture": name,
            "pitwatch_export": self._export,
        }
        predictions = [{"model_version": "pitwatch", "result": result}]
        self._tasks.append({"data": data, "predictions": predictions})

    def finish(self, folder: Path) -> None:
        """``OSError``."""
        (folder / FILE).write_text(json.dumps(self._tasks))
        (folder / CONFIG).write_text(_CONFIG)


def read_label_studio(tasks: list[Any], place: Path, export: str) -> list[Labelled]:
    """``LabellingError`` where the list is none of tasks, or of another export than ``export``.

    What is wrong with a task whose picture is known is the problem of that picture.
    """
    made = []
    for number, task in enumerate(tasks):
        try:
            data = task["data"]
            of = data.get("pitwatch_export", export)
            if of != export:
                raise LabellingError(
                    f"{place}: task {number}: is of the export {of}, not of {export}"
                )
            name = data.get("pitwatch_picture") or base_name(unquote(str(data["image"])))
        except (KeyError, TypeError, AttributeError) as error:
            raise LabellingError(
                f"{place}: task {number}: is no task as Label Studio's JSON has it: {error!r}"
            ) from error
        try:
            made.append(_task(str(name), task.get("annotations") or []))
        except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
            problem = f"is no task as Label Studio's JSON has it: {error!r}"
            made.append(Labelled(str(name), None, (), problem))
    return made


def _task(name: str, annotations: list[Any]) -> Labelled:
    finished = [one for one in annotations if not one.get("was_cancelled")]
    if not finished:
        return Labelled(name, None, (), "was not annotated: a prediction alone is no label")
    if len(finished) > 1:
        return Labelled(name, None, (), f"has {len(finished)} annotations; keep one")
    shapes, sizes = [], set()
    for one in finished[0]["result"]:
        value, kind = one["value"], str(one["type"])
        if kind in ("choices", "textarea", "rating"):
            continue
        sizes.add((int(one["original_height"]), int(one["original_width"])))
        labels = value.get(kind) or [f"a {kind} without a class"]
        turned = one.get("image_rotation", 0) % 360 != 0
        draw = cannot_draw("its picture was turned") if turned else partial(_draw, kind, value)
        shapes.append(Shape(str(labels[0]), draw))
    if len(sizes) > 1:
        return Labelled(name, None, (), "has shapes for pictures of several sizes")
    return Labelled(name, sizes.pop() if sizes else None, tuple(shapes))


def _draw(kind: str, value: dict[str, Any], height: int, width: int) -> NDArray[np.bool_]:
    if kind == "brushlabels" and value.get("format") == "rle":
        return unpack_brush(value["rle"], height, width)
    across, down = width / 100, height / 100  # of percent
    if kind == "polygonlabels":
        corners = [(float(x) * across, float(y) * down) for x, y in value["points"]]
        return polygon_mask(corners, height, width)
    if kind == "ellipselabels":
        centre = (float(value["x"]) * across, float(value["y"]) * down)
        radii = (float(value["radiusX"]) * across, float(value["radiusY"]) * down)
        return ellipse_mask(centre, radii, float(value.get("rotation", 0)), (height, width))
    raise ValueError(f"a shape of type {kind}; draw brushes, polygons or ellipses")
