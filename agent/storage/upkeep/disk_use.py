"""What takes how much of the disk, by kind, from the names of files alone: while an agent runs,
too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from agent.storage.file.state_dir import FILE

KINDS = ("database", "backups", "set_aside", "journals", "models", "logs", "other")
FILES_MAX = 200_000
"""Files of one folder that are looked at; a folder of more is told as its first so many."""


def disk_use(folder: Path | None, log_file: Path | None = None) -> dict[str, int]:
    """Return bytes by kind, ``free`` among them where it is known.

    ``database``: the file and its log. ``backups``: copies of it. ``set_aside``: damaged or
    replaced files, that nobody deletes. ``journals``: of watched folders. ``models``: networks that
    were staged. ``other``: whatever else lies in ``folder``.
    """
    used = dict.fromkeys(KINDS, 0)
    if log_file is not None:
        for path, size in _files(log_file.parent, deep=False):
            if is_log(path, log_file):
                used["logs"] += size
    if folder is not None:
        for path, size in _files(folder):
            if log_file is None or not is_log(path, log_file):
                used[_kind(path.relative_to(folder))] += size
    place = folder or (log_file.parent if log_file else None)
    if place is not None and place.is_dir():
        found = os.statvfs(place)
        used["free"] = found.f_bavail * found.f_frsize
    return used


def is_log(path: Path, log_file: Path) -> bool:
    """Whether a file is the log or one of its earlier ones."""
    rest = path.name.removeprefix(log_file.name)
    own = path.name.startswith(log_file.name) and path.parent == log_file.parent
    return own and (not rest or rest[1:].isdigit())


def _kind(name: Path) -> str:
    first = name.parts[0]
    if first == FILE or (first.startswith(f"{FILE}-") and len(name.parts) == 1):
        return "database"
    if first == "backups" or first.endswith(".backup"):
        return "backups"
    if first.startswith(f"{FILE}."):
        return "set_aside"
    return {"watch": "journals", "model": "models"}.get(first, "other")


def _files(folder: Path, deep: bool = True) -> Iterator[tuple[Path, int]]:
    seen = 0
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root) / name
            try:
                size = path.lstat().st_blocks * 512
            except OSError:  # it went meanwhile
                continue
            yield path, size
            seen += 1
            if seen >= FILES_MAX:
                return
        if not deep:
            return
