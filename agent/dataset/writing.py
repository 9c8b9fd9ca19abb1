"""A record is written, updated and removed so that it is whole or not there."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.dataset.reading import days, folders
from agent.dataset.record import FACTS, MASK, PICTURE, Facts, Reason, Record
from agent.dataset.text import facts_bytes
from agent.output_file import sync

UNFINISHED = re.compile(r"\..+-\d{8}T\d{6}\.\d{3}Z-.+\.(?:part|gone)")
"""Hidden names of a record that is being written, or removed."""
BLOCK_BYTES = 4096
FACTS_ROOM_BYTES = 16 * 1024
_STAMP = "%Y%m%dT%H%M%S"
_PNG_LEVEL = 2
"""Of 9. A picture of a camera has noise: more takes several times as long and saves few percent."""


def record_id(camera: str, captured_at: datetime, frame_id: str) -> str:
    """The name of a record: ``camera-YYYYmmddTHHMMSS.mmmZ-frame``.

    ``frame_id`` without the camera's name before it; what a file's name should not hold is ``_``.

    >>> record_id("a", datetime(2026, 5, 4, 3, 2, 1, 987654, UTC), "a-f00d-7")
    'a-20260504T030201.987Z-f00d-7'
    """
    frame = re.sub(r"[^A-Za-z0-9._-]", "_", frame_id.removeprefix(f"{camera}-"))[:100] or "_"
    return f"{camera}-{_stamp(captured_at)}-{frame}"


@dataclass(frozen=True, slots=True)
class Unwritten:
    """A record whose files are made and lie nowhere yet, by name."""

    record: Record
    files: Mapping[str, bytes]

    @property
    def size_bytes(self) -> int:
        """What it will take of the disk, see ``disk_bytes``."""
        return disk_bytes(*(len(self.files[name]) for name in (PICTURE, MASK, FACTS)))


def disk_bytes(picture: int, mask: int, facts: int) -> int:
    """What a record of these three files takes: in whole blocks, with its folder, and with room for
    the explanation that may come."""
    blocks = [-(-size // BLOCK_BYTES) for size in (picture, mask, max(facts, FACTS_ROOM_BYTES))]
    return (sum(blocks) + 1) * BLOCK_BYTES


def make_record(
    root: Path,
    facts: Facts,
    picture: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    aperture: NDArray[np.bool_] | None = None,
) -> Unwritten:
    """The files of a record below ``root``, as ``write_record`` writes them. ``ValueError``."""
    _check(facts, picture, mask, aperture)
    record = _record(root, facts, picture.shape[:2])
    pixels = picture
    if aperture is not None and not aperture.all():
        pixels = np.dstack([picture, np.where(aperture, 255, 0).astype(np.uint8)])
    files = {PICTURE: _png(pixels), MASK: _png(mask)}
    record = dataclasses.replace(
        record,
        picture_sha256=hashlib.sha256(files[PICTURE]).hexdigest(),
        mask_sha256=hashlib.sha256(files[MASK]).hexdigest(),
    )
    return Unwritten(record, files | {FACTS: facts_bytes(record)})


def write_record(
    root: Path,
    facts: Facts,
    picture: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    aperture: NDArray[np.bool_] | None = None,
) -> Record:
    """Keep a picture and what is known of it below ``root``; the record is on the disk at the end.

    ``picture``: (H, W, 3) uint8 BGR. ``mask``: uint8 indices into ``facts.classes``, (H, W) or on a
    coarser grid. ``aperture``: (H, W) bool, the field of view, kept as alpha; None: everything.
    ``ValueError`` for other shapes, ``OSError`` where the disk refuses (``FileExistsError`` for a
    picture that is kept already); then nothing is left.
    """
    return place_record(make_record(root, facts, picture, mask, aperture))


def place_record(made: Unwritten) -> Record:
    """Write the files of a record. ``OSError`` as of ``write_record``."""
    record = made.record
    if record.folder.exists():
        raise FileExistsError(errno.EEXIST, "is recorded already", str(record.folder))
    record.folder.parent.mkdir(parents=True, exist_ok=True)
    part = record.folder.with_name(f".{record.id}.part")
    try:
        part.mkdir()
        for name, data in made.files.items():
            _write(part / name, data)
        sync(part)
        part.rename(record.folder)
        sync(record.folder.parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)  # the first error is the one to tell
        raise
    return record


def update_record(
    record: Record,
    explanation: Mapping[str, object] | None,
    reasons: tuple[Reason, ...] = (),
) -> Record:
    """Add what became known later; the old text or the new one is there, never a half.

    ``reasons`` come to those that it has. ``OSError`` where the disk refuses, or the record is gone
    (``FileNotFoundError``).
    """
    together = record.reasons + tuple(r for r in reasons if r not in record.reasons)
    updated = dataclasses.replace(record, explanation=explanation, reasons=together)
    path = record.folder / FACTS
    part = record.folder / f".{FACTS}.part"
    try:
        _write(part, facts_bytes(updated))
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    return updated


def remove_record(folder: Path) -> None:
    """Remove a record: it is whole until it is gone. Nothing happens where there is none.

    ``OSError`` where the disk refuses.
    """
    gone = folder.with_name(f".{folder.name}.gone")
    try:
        folder.rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone)


def remove_unfinished(root: Path) -> int:
    """Remove what a killed process left half written or half removed; return how many.

    To be called while nobody writes. ``OSError``.
    """
    count = 0
    for day in days(root):
        for entry in folders(day):
            if UNFINISHED.fullmatch(entry.name):
                shutil.rmtree(entry)
                count += 1
            else:
                (entry / f".{FACTS}.part").unlink(missing_ok=True)
    return count


def _check(
    facts: Facts,
    picture: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    aperture: NDArray[np.bool_] | None,
) -> None:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(f"a picture is (H, W, 3) uint8, not {picture.shape} {picture.dtype}")
    if mask.dtype != np.uint8 or mask.ndim != 2 or not mask.size:
        raise ValueError(f"a mask is (h, w) uint8, not {mask.shape} {mask.dtype}")
    if int(mask.max()) >= len(facts.classes):
        raise ValueError(f"a mask of {len(facts.classes)} classes holds {int(mask.max())}")
    if aperture is not None and (aperture.shape != picture.shape[:2] or not aperture.any()):
        raise ValueError(f"a field of view of {aperture.shape} for a picture of {picture.shape}")
    if facts.captured_at.tzinfo is None:
        raise ValueError("captured_at has no time zone")


def _record(root: Path, facts: Facts, shape: tuple[int, ...]) -> Record:
    at = facts.captured_at.astimezone(UTC)
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    name = record_id(facts.camera, at, facts.frame_id)
    values = {field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)}
    del values["frame_id"]
    return Record(
        **(values | {"captured_at": at}),
        id=name,
        height=shape[0],
        width=shape[1],
        folder=root / facts.camera / f"{at:%Y-%m-%d}" / name,
        picture_sha256="",
        mask_sha256="",
    )


def _stamp(at: datetime) -> str:
    utc = at.astimezone(UTC)
    return f"{utc:{_STAMP}}.{utc.microsecond // 1000:03d}Z"


def _png(pixels: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])
    if not done:
        raise ValueError(f"{pixels.shape} {pixels.dtype} cannot be encoded as PNG")
    return data.tobytes()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
