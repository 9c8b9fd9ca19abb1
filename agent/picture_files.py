"""Which files of a folder are pictures."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""In lower case; a file's own suffix may be in any."""


def picture_files(folder: Path, suffixes: Collection[str] = SUFFIXES) -> list[Path]:
    """Return the pictures of a folder by name. ``OSError`` when it cannot be listed."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes and p.is_file())
