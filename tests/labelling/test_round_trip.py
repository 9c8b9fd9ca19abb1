"""Pictures go out to every format and their labels come back, or say what is wrong with them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from agent.cli import app
from agent.dataset import Facts, Reason, Record, write_record
from agent.labelling.card import read_card
from agent.labelling.colour_masks import FOLDER
from agent.labelling.errors import LabellingError
from agent.labelling.exporting import Exported, ExportOptions, Format, export
from agent.labelling.importing import Imported, ImportOptions, import_labels
from agent.training.errors import TrainingError
from agent.training.folder import find_pairs

LABELS = {
    Format.COCO: "annotations/instances_default.json",
    Format.COCO_POLYGONS: "annotations/instances_default.json",
    Format.CVAT: "annotations.xml",
    Format.LABEL_STUDIO: "tasks.json",
    Format.MASKS: "masks",
}
SHAPE = (40, 56)
FACTS = Facts(
    camera="a",
    frame_id="a-1",
    captured_at=datetime(2026, 5, 4, tzinfo=UTC),
    reasons=(Reason.NO_READ,),
    model="net",
    model_sha256="ab" * 32,
    variety="Halford",
    lot="L-1",
    classes=("background", "suture", "stem"),
    reading={},
)


def ragged(seed: int) -> NDArray[np.uint8]:
    """A mask with holes, single pixels, and areas that touch at a corner and at the border."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, SHAPE, np.uint8)


def record(root: Path, number: int, **changes: object) -> Record:
    at = FACTS.captured_at + timedelta(hours=number)
    facts = replace(FACTS, frame_id=f"a-{number}", captured_at=at, **changes)  # type: ignore[arg-type]
    picture = np.random.default_rng(number).integers(0, 256, (*SHAPE, 3), np.uint8)
    return write_record(root, facts, picture, ragged(number))


def exported(folder: Path, form: Format = Format.MASKS, count: int = 3) -> Exported:
    for number in range(count):
        record(folder / "records", number, lot=f"L-{number % 2}")
    return export(folder / "records", folder / "export", ExportOptions(form))


def imported(folder: Path, form: Format, **options: object) -> Imported:
    labels = folder / "export" / LABELS[form]
    wanted = ImportOptions(**options)  # type: ignore[arg-type]
    return import_labels(labels, folder / "export", folder / "labelled", wanted)


def accept_predictions(path: Path) -> None:
    """As a person does who submits what was predicted."""
    tasks = json.loads(path.read_text())
    for task in tasks:
        task["annotations"] = [{"result": task.pop("predictions")[0]["result"]}]
    path.write_text(json.dumps(tasks))


def masks(folder: Path) -> dict[str, NDArray[np.uint8]]:
    return {pair.name: pair.load().mask for pair in find_pairs(folder)}


@pytest.mark.parametrize("form", Format)
def test_masks_come_back_identical_from_every_format(tmp_path: Path, form: Format) -> None:
    made = exported(tmp_path, form)
    if form is Format.LABEL_STUDIO:
        accept_predictions(tmp_path / "export" / LABELS[form])
    back = imported(tmp_path, form)
    found = masks(tmp_path / "labelled")
    assert len(found) == 3
    for number in range(3):
        name = next(one for one in found if one.endswith(f"-{number}"))
        assert np.array_equal(found[name], ragged(number))
    assert back.unchanged == 3
    assert not back.problems
    card = read_card(tmp_path / "labelled")
    assert {row["lot"] for row in card.pictures.values()} == {"L-0", "L-1"}
    assert card.pictures.keys() == made.card.pictures.keys()


def test_shapes_of_background_are_told_by_picture_and_a_class_wants_a_name(tmp_path: Path) -> None:
    exported(tmp_path, Format.CVAT)
    path = tmp_path / "export" / LABELS[Format.CVAT]
    path.write_text(path.read_text().replace('label="stem"', 'label="Backdrop"', 1))
    out = str(tmp_path / "export")
    command = ["import", out, "--export", out, "-o", str(tmp_path / "labelled"), "--class"]
    for wrong in ("suture", "=suture"):
        assert CliRunner().invoke(app, [*command, wrong]).exit_code == 2
    done = CliRunner().invoke(app, [*command, "Backdrop=background"])
    assert done.exit_code == 0, done.output
    assert done.output.count("shapes of class background change nothing, 1 left out") == 1


def test_lots_that_training_would_refuse_are_told(tmp_path: Path) -> None:
    made = exported(tmp_path)
    assert not made.card.lots_warning
    record(tmp_path / "records", 9, lot="")
    mixed = export(tmp_path / "records", tmp_path / "mixed", ExportOptions(Format.MASKS))
    assert mixed.card.lots_warning.startswith("1 of 4 pictures have no lot: train --folder refuses")


def test_an_export_is_no_truth_to_train_on_before_its_labels_are_imported(tmp_path: Path) -> None:
    exported(tmp_path)
    with pytest.raises(TrainingError, match="pitwatch import its labels first"):
        find_pairs(tmp_path / "export")


def test_an_edited_mask_is_what_comes_back_and_counts_as_changed(tmp_path: Path) -> None:
    exported(tmp_path)
    path = sorted((tmp_path / "export" / FOLDER).iterdir())[0]
    edited = np.zeros((*SHAPE, 3), np.uint8)
    edited[5:9, 5:30] = 255
    cv2.imwrite(str(path), edited)
    assert imported(tmp_path, Format.MASKS).unchanged == 2
    assert np.count_nonzero(masks(tmp_path / "labelled")[path.stem]) == 100


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_where_both_were_drawn_it_is_stem_in_either_order(
    tmp_path: Path, order: tuple[int, int]
) -> None:
    exported(tmp_path, Format.COCO_POLYGONS, count=1)
    path = tmp_path / "export" / LABELS[Format.COCO]
    document = json.loads(path.read_text())
    rings = {1: [[0, 0, 20, 0, 20, 10, 0, 10]], 2: [10, 0, 30, 0, 30, 10, 10, 10]}
    document["annotations"] = [
        {"id": n, "image_id": 1, "category_id": n, "segmentation": rings[n]} for n in order
    ]
    path.write_text(json.dumps(document))
    back = imported(tmp_path, Format.COCO)
    (mask,) = masks(tmp_path / "labelled").values()
    assert list(back.overlaps.values()) == [100]
    assert np.count_nonzero(mask == 1) == 100
    assert np.count_nonzero(mask == 2) == 200


def test_everything_wrong_is_named_by_picture_at_once_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    exported(tmp_path, Format.COCO, count=5)
    path = tmp_path / "export" / LABELS[Format.COCO]
    document = json.loads(path.read_text())
    images = document["images"]
    names = [image["file_name"] for image in images]
    images[0]["width"] = 99
    document["categories"].append({"id": 7, "name": "leaf"})
    notes = document["annotations"]
    next(one for one in notes if one["image_id"] == 2)["category_id"] = 7
    document["annotations"] = [one for one in notes if one["image_id"] not in (3, 4)]
    del images[3]
    images.append({"id": 50, "file_name": "stranger.png", "width": 9, "height": 9})
    path.write_text(json.dumps(document))
    with pytest.raises(LabellingError) as raised:
        imported(tmp_path, Format.COCO)
    told = str(raised.value)
    for name, words in [
        (names[0], "99 x 40 pixels, where the picture has 56 x 40"),
        (names[1], "unknown class 'leaf'; there are suture, stem, background"),
        (names[2], "an empty label"),
        (names[3], "has no labels"),
        ("stranger.png", "is no picture of this export"),
    ]:
        assert any(line.startswith(name) and words in line for line in told.splitlines()), told
    assert not (tmp_path / "labelled").exists()
    back = imported(tmp_path, Format.COCO, skip_bad=True)
    assert list(back.card.pictures) == [names[4]]
    assert len(back.problems) == 5


def test_labels_of_another_export_are_refused_by_its_name(tmp_path: Path) -> None:
    exported(tmp_path, Format.LABEL_STUDIO, count=1)
    path = tmp_path / "export" / LABELS[Format.LABEL_STUDIO]
    tasks = json.loads(path.read_text())
    tasks[0]["data"]["pitwatch_export"] = "elsewhere"
    path.write_text(json.dumps(tasks))
    with pytest.raises(LabellingError, match="of the export elsewhere"):
        imported(tmp_path, Format.LABEL_STUDIO)


def test_a_prediction_that_nobody_accepted_is_no_label(tmp_path: Path) -> None:
    exported(tmp_path, Format.LABEL_STUDIO, count=1)
    with pytest.raises(LabellingError, match="was not annotated"):
        imported(tmp_path, Format.LABEL_STUDIO)


def test_a_damaged_record_is_named_and_the_others_are_exported(tmp_path: Path) -> None:
    damaged = record(tmp_path / "records", 7)
    (damaged.folder / "picture.png").write_bytes(b"no picture")
    made = exported(tmp_path)
    assert len(made.card.pictures) == 3
    assert damaged.id in made.damaged[0]


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    record(tmp_path / "records", 1)
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "mine.txt").write_text("kept")
    with pytest.raises(LabellingError, match="is not empty"):
        export(tmp_path / "records", tmp_path / "export", ExportOptions(Format.COCO))
    assert [one.name for one in (tmp_path / "export").iterdir()] == ["mine.txt"]


def test_a_disk_that_fills_up_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "records", 1)

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(LabellingError, match="No space left"):
        export(tmp_path / "records", tmp_path / "export", ExportOptions(Format.COCO))
    assert [one.name for one in tmp_path.iterdir()] == ["records"]


def test_a_budget_is_spread_over_lots_and_reasons_and_near_duplicates_go(tmp_path: Path) -> None:
    root = tmp_path / "records"
    for number in range(12):
        reason = Reason.SURE if number % 3 else Reason.NO_READ
        record(root, number, lot="big" if number < 10 else "small", reasons=(reason,))
    first = next((root / "a").rglob("*-0"))
    twin = first.with_name(f"{first.name}-twin")
    shutil.copytree(first, twin)
    facts = json.loads((twin / "record.json").read_text())
    (twin / "record.json").write_text(json.dumps(facts | {"id": twin.name}))
    few = export(root, tmp_path / "few", ExportOptions(Format.MASKS, count=4, seed=3))
    lots = sorted(row["lot"] for row in few.card.pictures.values())
    assert lots == ["big", "big", "small", "small"]
    every = export(root, tmp_path / "all", ExportOptions(Format.MASKS))
    assert (len(every.card.pictures), every.near) == (12, 1)


def test_the_commands_write_and_take_back(tmp_path: Path) -> None:
    record(tmp_path / "records", 1)
    out, back = tmp_path / "export", tmp_path / "labelled"
    run = CliRunner()
    done = run.invoke(
        app, ["export", str(tmp_path / "records"), "-o", str(out), "--format", "cvat"]
    )
    assert done.exit_code == 0, done.output
    assert "1 pictures" in done.output
    done = run.invoke(app, ["import", str(out), "--export", str(out), "-o", str(back)])
    assert done.exit_code == 0, done.output
    assert "1 of them exactly as predicted" in done.output
    assert "all 1 pictures are of lot L-1: train --folder refuses them" in done.output
    done = run.invoke(app, ["import", str(out), "--export", str(out), "-o", str(back)])
    assert done.exit_code == 1
    assert "is not empty" in done.output
