"""A bad entry of a file that another tool wrote is the problem of its picture, and no traceback."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import pytest

from agent.labelling.coco import read_coco
from agent.labelling.cvat import read_cvat
from agent.labelling.exporting import Format
from agent.labelling.label_studio import read_label_studio
from agent.labelling.labels import Labelled
from tests.labelling.test_round_trip import exported, imported

FILE = Path("labels.file")
HUGE = float("inf")


def only_a_is_wrong(found: list[Labelled]) -> None:
    assert [(one.picture, bool(one.problem)) for one in found] == [
        ("a.png", True),
        ("b.png", False),
    ]


def shape(**changes: Any) -> dict[str, Any]:
    value = {"brushlabels": ["stem"], "format": "rle", "rle": []}
    size = {"original_height": 4, "original_width": 4}
    return {"type": "brushlabels", "value": value, **size, **changes}


@pytest.mark.parametrize(
    "wrong",
    [
        [3],
        7,
        [{"result": [shape(original_height="tall")]}],
        [{"result": [shape(original_height=HUGE)]}],
        [{"result": [shape(image_rotation="left")]}],
        [{"result": [shape(value=None)]}],
        [{"result": [{"type": "brushlabels"}]}],
        [{}],
    ],
)
def test_a_bad_task_of_label_studio_is_told_of_its_picture(wrong: object) -> None:
    good = [{"result": [shape()]}]
    tasks = [
        {"data": {"image": "/x/a.png"}, "annotations": wrong},
        {"data": {"image": "/x/b.png"}, "annotations": good},
    ]
    only_a_is_wrong(read_label_studio(tasks, FILE, "e"))


@pytest.mark.parametrize(
    ("image", "note"),
    [
        ({"height": HUGE}, {}),
        ({"width": "wide"}, {}),
        ({"width": None}, {}),
        ({}, {"category_id": []}),
    ],
)
def test_a_bad_entry_of_coco_is_told_of_its_picture(
    image: dict[str, Any], note: dict[str, Any]
) -> None:
    images = [
        {"id": 1, "file_name": "a.png", "height": 4, "width": 4} | image,
        {"id": 2, "file_name": "b.png", "height": 4, "width": 4},
    ]
    notes = [{"image_id": 1, "category_id": 1} | note, {"image_id": 2, "category_id": 1}]
    categories = [{"id": 1, "name": "stem"}]
    document = {"images": images, "annotations": notes, "categories": categories}
    only_a_is_wrong(read_coco(document, FILE))


def test_a_picture_of_cvat_without_its_size_is_told_of_it() -> None:
    text = "<annotations><image name='a.png'/><image name='b.png' height='4' width='4'/>"
    only_a_is_wrong(read_cvat(f"{text}</annotations>".encode(), FILE))


@pytest.mark.parametrize("form", [Format.CVAT, Format.COCO])
def test_a_byte_order_mark_is_passed_over(tmp_path: Path, form: Format) -> None:
    exported(tmp_path, form)
    name = {Format.CVAT: "annotations.xml"}.get(form, "annotations/instances_default.json")
    path = tmp_path / "export" / name
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert not imported(tmp_path, form).problems
