"""What is exported opens in the tools' own readers, pixel by pixel, and comes back the same."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.dataset import Facts, Reason, write_record
from agent.labelling.exporting import ExportOptions, Format, export
from agent.labelling.importing import ImportOptions, import_labels
from agent.simulator.render import Renderer
from agent.training.folder import find_pairs

PICTURES = 20
AT = datetime(2026, 5, 4, tzinfo=UTC)
READERS = {"datumaro": "datumaro", "label-studio-sdk": "label_studio_sdk"}
"""Packages that get an environment of their own: they want another OpenCV. datumaro brings
pycocotools."""

READ = """
import sys, json, numpy as np
form, folder, out = sys.argv[1:4]
masks = {}
def add(name, place, mask):
    whole = masks.setdefault(name, np.zeros(mask.shape, np.uint8))
    whole[mask > 0] = place
if form.endswith("pycocotools"):
    from pycocotools.coco import COCO
    coco = COCO(folder + "/annotations/instances_default.json")
    for one in coco.loadAnns(coco.getAnnIds()):
        name = coco.loadImgs(one["image_id"])[0]["file_name"]
        add(name, one["category_id"], coco.annToMask(one))
elif form == "label-studio":
    from label_studio_sdk.converter.brush import decode_rle
    for task in json.load(open(folder + "/tasks.json")):
        for one in task["predictions"][0]["result"]:
            size = one["original_height"], one["original_width"], 4
            mask = decode_rle(one["value"]["rle"]).reshape(size)[:, :, 3]
            label = one["value"]["brushlabels"][0]
            add(task["data"]["pitwatch_picture"], ["", "suture", "stem"].index(label), mask)
else:
    import datumaro
    from pycocotools import mask as tools
    data = datumaro.Dataset.import_from(folder, form.split()[0])
    names = [one.name for one in data.categories()[datumaro.AnnotationType.label].items]
    for item in data:
        assert item.media is not None, item.id
        height, width = item.media.size
        for one in item.annotations:
            if one.type == datumaro.AnnotationType.bbox:  # COCO's own box, beside its mask
                continue
            place = ["", "suture", "stem"].index(names[one.label])
            if one.type == datumaro.AnnotationType.polygon:
                mask = tools.decode(tools.frPyObjects([list(one.points)], height, width))[:, :, 0]
            else:
                mask = one.image
            add(item.id + ".png", place, np.asarray(mask))
np.savez(out, **masks)
"""
CASES = (
    (Format.COCO, "coco pycocotools", "datumaro"),
    (Format.COCO_POLYGONS, "coco pycocotools", "datumaro"),
    (Format.COCO, "coco datumaro", "datumaro"),
    (Format.COCO_POLYGONS, "coco datumaro", "datumaro"),
    (Format.CVAT, "cvat datumaro", "datumaro"),
    (Format.LABEL_STUDIO, "label-studio", "label-studio-sdk"),
)
LABELS = {Format.LABEL_STUDIO: "tasks.json"}


def labels(folder: Path) -> tuple[list[str], list[str]]:
    """Return the table's lines and the bars that were missed."""
    folder.mkdir(parents=True)
    truth = _records(folder / "records")
    lines = ["| format | reader | pictures | other pixels |", "|---|---|---|---|"]
    missed: list[str] = []

    def row(form: Format, reader: str, found: dict[str, NDArray[np.uint8]]) -> None:
        other = [int((found[name] != mask).sum()) for name, mask in truth.items() if name in found]
        lines.append(f"| {form} | {reader} | {len(other)} of {len(truth)} | {sum(other)} |")
        if len(other) != len(truth) or any(other):
            missed.append(f"{form} in {reader}")

    for form in Format:
        export(folder / "records", folder / form, ExportOptions(form, thin=False))
    pythons = {name: _environment(folder / f"venv-{name}", name) for name in READERS}
    for form, reader, package in CASES:
        out = folder / f"{form}-{reader}.npz".replace(" ", "-")
        command = [str(pythons[package]), "-c", READ, reader, str(folder / form), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr[-2000:], file=sys.stderr)
        with np.load(out) if out.exists() else _Nothing() as found:
            row(form, reader, {name: found[name] for name in found})
    for form in Format:
        if form is Format.LABEL_STUDIO:
            _accept(folder / form / "tasks.json")
        given = folder / form / LABELS.get(form, "")
        import_labels(given, folder / form, folder / f"back-{form}", ImportOptions())
        pairs = find_pairs(folder / f"back-{form}")
        row(form, "import", {f"{pair.name}.png": pair.load().mask for pair in pairs})
    return [*lines, ""], missed


class _Nothing(dict[str, NDArray[np.uint8]]):
    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


def _accept(path: Path) -> None:
    tasks = json.loads(path.read_text())
    for task in tasks:
        task["annotations"] = [{"result": task["predictions"][0]["result"]}]
    path.write_text(json.dumps(tasks))


def _environment(folder: Path, package: str) -> Path:
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", package], check=True)
    return python


def _records(root: Path) -> dict[str, NDArray[np.uint8]]:
    """Simulated fruit with ragged labels: pixels at the rim of each class are drawn by chance."""
    truth = {}
    for seed in range(PICTURES):
        render = Renderer(256).fruit(seed)
        mask = render.mask.copy()
        rng = np.random.default_rng(seed)
        strewn = rng.random(mask.shape) < 0.02
        mask[strewn] = rng.integers(0, 3, int(strewn.sum()))
        mask[~render.aperture] = 0
        facts = Facts(
            camera="a",
            frame_id=f"a-{seed}",
            captured_at=AT + timedelta(seconds=seed),
            reasons=(Reason.RANDOM,),
            model="net",
            model_sha256="ab" * 32,
            variety="",
            lot=f"L-{seed % 4}",
            classes=("background", "suture", "stem"),
            reading={},
        )
        record = write_record(root, facts, render.image, mask, render.aperture)
        truth[f"{record.id}.png"] = mask
    return truth
