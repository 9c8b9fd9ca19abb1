"""Whether a result can be written, looked at before the work that makes it begins; and that it is
on the disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

MB = 1_000_000


def output_refusal(path: Path, suffix: str, room_bytes: int = 0) -> str:
    """Why no file of ``suffix`` can be written to ``path``; empty where it can be.

    Its folder must be there, take a file, and have ``room_bytes`` free. Nothing is left behind.
    """
    if path.suffix.lower() != suffix:
        return f"{path}: the file's name must end with {suffix}"
    folder = path.parent
    try:
        if path.is_dir():
            return f"{path}: is a folder"
        if not folder.is_dir():
            return f"{path}: there is no folder {folder}; make it first"
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return f"{path}: cannot be written: {error.strerror}"
    if free < room_bytes:
        return f"{path}: {free / MB:.0f} MB are free there, {room_bytes / MB:.0f} MB are needed"
    return ""


def sync(path: Path) -> None:
    """Have a file or a folder on the disk. ``OSError``."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
