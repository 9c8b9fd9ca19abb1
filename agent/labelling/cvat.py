"""CVAT for images 1.1: one XML file of pictures with masks, polygons and ellipses."""

from __future__ import annotations

from functools import partial
from pathlib import Path

# No entity is ever read: a document type, where they would be declared, is refused.
from xml.etree import ElementTree as Xml

import numpy as np
from numpy.typing import NDArray

from agent.labelling.errors import LabellingError
from agent.labelling.labels import CLASSES, COLOURS, Labelled, Shape, base_name, cannot_draw
from agent.labelling.runs import counts_of, mask_of
from agent.labelling.shapes import ellipse_mask, polygon_mask

FILE = "annotations.xml"


class CvatWriter:
    """Masks as run lengths of the rows of their boxes."""

    def __init__(self, export: str) -> None:
        self._root = Xml.Element("annotations")
        Xml.SubElement(self._root, "version").text = "1.1"
        task = Xml.SubElement(Xml.SubElement(self._root, "meta"), "task")
        Xml.SubElement(task, "name").text = f"pitwatch export {export}"
        labels = Xml.SubElement(task, "labels")
        for name in CLASSES:
            label = Xml.SubElement(labels, "label")
            Xml.SubElement(label, "name").text = name
            blue, green, red = COLOURS[name]
            Xml.SubElement(label, "color").text = f"#{red:02x}{green:02x}{blue:02x}"
            Xml.SubElement(label, "attributes")
        self._count = 0

    def add(self, name: str, mask: NDArray[np.uint8]) -> None:
        """A picture with its (H, W) classes."""
        height, width = mask.shape
        size = {"width": str(width), "height": str(height)}
        image = Xml.SubElement(self._root, "image", {"id": str(self._count), "name": name, **size})
        self._count += 1
        for place, label in enumerate(CLASSES, 1):
            rows, columns = np.nonzero(mask == place)
            if not rows.size:
                continue
            top, left = int(rows.min()), int(columns.min())
            box = mask[top : int(rows.max()) + 1, left : int(columns.max()) + 1] == place
            values = {
                "label": label,
                "source": "auto",
                "occluded": "0",
                "rle": ", ".join(map(str, counts_of(box.ravel()))),
                "left": str(left),
                "top": str(top),
                "width": str(box.shape[1]),
                "height": str(box.shape[0]),
                "z_order": str(place),
            }
            Xml.SubElement(image, "mask", values)

    def finish(self, folder: Path) -> None:
        """``OSError``."""
        Xml.indent(self._root)
        Xml.ElementTree(self._root).write(folder / FILE, "utf-8", xml_declaration=True)


def read_cvat(data: bytes, place: Path) -> list[Labelled]:
    """``LabellingError`` where the document is none of CVAT for images.

    A picture without its size is the problem of that picture.
    """
    if b"\0" in data:  # two bytes a letter would hide a document type
        raise LabellingError(f"{place}: is no XML in UTF-8: it holds zero bytes")
    if b"<!DOCTYPE" in data:
        raise LabellingError(f"{place}: has a document type, which CVAT never writes")
    try:
        root = Xml.fromstring(data)  # noqa: S314
    except (Xml.ParseError, ValueError, LookupError) as error:
        raise LabellingError(f"{place}: is no XML: {error}") from error
    if root.tag != "annotations" or root.find("track") is not None:
        raise LabellingError(f"{place}: is no file of the format CVAT for images 1.1")
    return [_image(image) for image in root.iter("image")]


def _image(image: Xml.Element) -> Labelled:
    name = base_name(image.get("name", ""))
    try:
        size = (int(image.get("height", "")), int(image.get("width", "")))
    except ValueError:
        return Labelled(name, None, (), "a picture without its size")
    shapes = tuple(
        Shape(one.get("label", ""), partial(_draw, one)) for one in image if one.tag != "tag"
    )
    return Labelled(name, size, shapes)


def _draw(shape: Xml.Element, height: int, width: int) -> NDArray[np.bool_]:
    def number(name: str) -> float:
        return float(shape.get(name, ""))

    if shape.tag == "polygon":
        corners = [one.split(",") for one in shape.get("points", "").split(";")]
        return polygon_mask([(float(x), float(y)) for x, y in corners], height, width)
    if shape.tag == "ellipse":
        centre, radii = (number("cx"), number("cy")), (number("rx"), number("ry"))
        return ellipse_mask(centre, radii, float(shape.get("rotation", "0")), (height, width))
    if shape.tag != "mask":
        return cannot_draw(f"a {shape.tag}; draw masks, polygons or ellipses")(height, width)
    left, top, wide, high = (int(shape.get(k, "")) for k in ("left", "top", "width", "height"))
    if min(left, top) < 0 or min(wide, high) < 1 or left + wide > width or top + high > height:
        raise ValueError("a mask that reaches out of its picture")
    counts = [int(one) for one in shape.get("rle", "").split(",")]
    mask = np.zeros((height, width), np.bool_)
    mask[top : top + high, left : left + wide] = mask_of(counts, wide * high).reshape(high, wide)
    return mask
