"""Records that lie on the disk, one or all of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from agent.dataset.record import FACTS, MASK, PICTURE, Record, RecordError
from agent.dataset.text import LIMIT_BYTES, parse_facts

_TIME = re.compile(r"(\d{8}T\d{6}\.\d{3}Z)-.+")


def read_record(folder: Path) -> Record:
    """Read what is known of a recorded picture. ``RecordError`` names the file and what is wrong.

    The pictures themselves are looked at when they are asked for. Where the disk cannot be read the
    error's cause is an ``OSError``: the record may be whole.
    """
    path = folder / FACTS
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise RecordError(path, f"longer than {LIMIT_BYTES} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(path, f"cannot be read: {error.strerror}") from error
    record = parse_facts(path, data)
    for name in (PICTURE, MASK):
        if not (folder / name).is_file():
            raise RecordError(folder / name, "is missing")
    return record


def records(root: Path) -> Iterator[Record | RecordError]:
    """Every record below a folder, by time of capture; in the place of a damaged one its error.

    A folder that is not there holds none. One that goes meanwhile is passed over. ``OSError`` where
    ``root`` cannot be listed.
    """
    found = [folder for day in days(root) for folder in folders(day) if folder.name[0] != "."]
    for folder in sorted(found, key=_order):
        try:
            yield read_record(folder)
        except RecordError as error:
            if folder.exists():
                yield error


def captured_stamp(folder: Path) -> str:
    """The time of capture in a record's name, in an order of its own; empty where there is none."""
    match = _TIME.fullmatch(folder.name.removeprefix(f"{folder.parent.parent.name}-"))
    return match[1] if match else ""


def captured_ms(folder: Path) -> int | None:
    """The same in milliseconds of Unix time; None where its name is none of a record."""
    try:
        at = datetime.strptime(captured_stamp(folder), "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return round(at.timestamp() * 1000)


def _order(folder: Path) -> tuple[str, str]:
    return captured_stamp(folder), folder.name


def days(root: Path) -> Iterator[Path]:
    """The folders that hold records, one a camera and day. ``OSError``."""
    for camera in folders(root):
        if camera.name[0] != ".":
            yield from folders(camera)


def folders(folder: Path) -> list[Path]:
    """The folders in a folder, hidden ones too; none where it is not there. ``OSError``."""
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
