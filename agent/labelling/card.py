"""``dataset.json``: where each picture of a folder came from. And the same for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.labelling.errors import LabellingError
from agent.strict_json import read_object

VERSION = 1
FILE, FOR_PEOPLE = "dataset.json", "README.md"
LIMIT_BYTES = 256 << 20
IMAGES = "images"
"""The folder of the pictures beside it."""
_TEXTS = ("record", "lot", "camera", "variety", "captured_at", "model_sha256", "reason", "sha256")
_NUMBERS = ("height", "width")


@dataclass(frozen=True, slots=True)
class Card:
    """``pictures``: by file name its record, lot, camera, variety, time, model, reason, size and
    SHA-256. ``about``: how the folder was made, with ``export``, the name of the export."""

    pictures: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def export(self) -> str:
        """The name of the export, which labels of it may carry."""
        return str(self.about.get("export", ""))

    @property
    def lots_warning(self) -> str:
        """Why ``train --folder`` will refuse pictures of these lots, and what helps; "" if not."""
        lots = [str(row["lot"]) for row in self.pictures.values()]
        without, known = lots.count(""), set(lots) - {""}
        if known and without:
            return (
                f"{without} of {len(lots)} pictures have no lot: train --folder refuses them with "
                f"others that have one; write their lots in {FILE}, or take these pictures and "
                f"their masks away, or {FILE} to hold out pictures by name"
            )
        if len(known) == 1:
            return (
                f"all {len(lots)} pictures are of lot {known.pop()}: train --folder refuses them, "
                f"since it holds out whole lots; add pictures of another lot, or take {FILE} away "
                "to hold out pictures by name"
            )
        return ""

    def write(self, folder: Path, title: str) -> None:
        """Both files. ``OSError``."""
        document = {"version": VERSION, **self.about, "pictures": self.pictures}
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        (folder / FILE).write_text(text, encoding="utf-8")
        (folder / FOR_PEOPLE).write_text(self._for_people(title), encoding="utf-8")

    def _for_people(self, title: str) -> str:
        counted = f"{len(self.pictures)} pictures; each is listed in `{FILE}`."
        lines = [f"# {title}", "", counted, ""]
        for name, value in self.about.items():
            shown = "; ".join(map(str, value)) if isinstance(value, list) else str(value)
            lines.append(f"- {name.replace('_', ' ')}: {shown or 'none'}")
        for key in ("lot", "camera", "variety", "reason", "model_sha256"):
            counts = Counter(str(row[key]) or "not known" for row in self.pictures.values())
            lines += ["", f"| {key.replace('_', ' ')} | pictures |", "|---|---|"]
            lines += [f"| {name} | {count} |" for name, count in sorted(counts.items())]
        times = sorted(str(row["captured_at"]) for row in self.pictures.values())
        if times:
            lines += ["", f"Captured from {times[0]} to {times[-1]}."]
        return "\n".join(lines) + "\n"


def read_card(folder: Path) -> Card:
    """The card of a folder. ``LabellingError`` naming the file, and the picture and key in it."""
    path = folder / FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LabellingError(f"{path}: cannot be read: {error.strerror}") from error
    found = read_object(data, LIMIT_BYTES)
    if found.wrong:
        raise LabellingError(f"{path}: {found.wrong}")
    values = dict(found.values)
    if values.pop("version", None) != VERSION:
        raise LabellingError(f"{path}: version {found.values.get('version')!r}, expected {VERSION}")
    pictures = values.pop("pictures", None)
    if not isinstance(pictures, dict) or not pictures:
        raise LabellingError(f"{path}: pictures: names none")
    rows = [(name, _wrong(name, row)) for name, row in pictures.items()]
    if problems := [f"{path}: {name}: {wrong}" for name, wrong in rows if wrong]:
        raise LabellingError(*problems)
    return Card(pictures, values)


def _wrong(name: str, row: object) -> str:
    if name != Path(name).name or name.startswith(".") or not name.endswith(".png"):
        return "is no name of a picture"
    if not isinstance(row, dict):
        return "is no object"
    for key in _TEXTS:
        if not isinstance(row.get(key), str):
            return f"{key}: is no text"
    for key in _NUMBERS:
        value = row.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            return f"{key}: is no number of pixels"
    return ""
