"""Which files of a folder are pictures, and their names for people."""

from __future__ import annotations

import os
from pathlib import Path

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""In lower case; a file's own suffix may be in any."""


def picture_names(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[str]:
    """Return the names of a folder's pictures in order. ``OSError`` when it cannot be listed.

    Hidden files are none: writers that rename into place keep what is unfinished in them. A name
    may hold surrogates (bytes that are no UTF-8); ``printable`` makes one fit for a log.
    """
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if is_picture(entry, suffixes))


def picture_files(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """The same as paths."""
    return [folder / name for name in picture_names(folder, suffixes)]


def is_picture(entry: os.DirEntry[str], suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Whether an entry is a regular file, or a link to one, with the suffix of a picture."""
    try:
        return is_picture_name(entry.name, suffixes) and entry.is_file()
    except OSError:  # a link that leads to itself
        return False


def is_picture_name(name: str, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Whether a file of this name would be one."""
    return name[0] != "." and name.lower().endswith(suffixes)


def printable(name: str) -> str:
    """A file's name on one line: what cannot be shown is escaped.

    >>> printable("a\\nb\\udcff.png")
    'a\\\\nb\\\\udcff.png'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in name
    )
