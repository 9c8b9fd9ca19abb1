"""Which files of a watched folder have been read, over restarts."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path

SPARE_LINES = 1000


class Journal:
    """A file of lines, one a picture: its name, the time of its content in ns, its size.

    A line is written and handed to the system before its picture is used, so that a killed agent
    reads none twice; after a power cut the last few may be. A file that was changed under its name
    is another picture. Lines that make no sense (a power cut, another program) are passed over.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: dict[str, tuple[int, int]] = {}
        self._lines = 0
        self._torn = False
        self.damaged_lines = 0

    def load(self) -> None:
        """Read the journal; none is an empty one. ``OSError``."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        self._torn = not data.endswith(b"\n") and bool(data)
        for line in data.splitlines():
            self._lines += 1
            try:
                name, mtime_ns, size = json.loads(line)
                self._read[str(name)] = int(mtime_ns), int(size)
            except (ValueError, TypeError):
                self.damaged_lines += 1

    def holds(self, name: str, mtime_ns: int, size: int) -> bool:
        """Whether this file was read."""
        return self._read.get(name) == (mtime_ns, size)

    @property
    def names(self) -> Collection[str]:
        """The names of all files that were read."""
        return self._read.keys()

    def add(self, name: str, mtime_ns: int, size: int) -> None:
        """Note a file. ``OSError`` when it cannot be written: then it is not noted."""
        line = json.dumps([name, mtime_ns, size]).encode("ascii") + b"\n"
        with self._path.open("ab") as file:
            # A line that a full disk or a power cut has cut short must not swallow this one.
            file.write(b"\n" + line if self._torn else line)
        self._torn = False
        self._read[name] = mtime_ns, size
        self._lines += 1

    def forget_all_but(self, present: Collection[str]) -> None:
        """Leave out files that are gone, where that makes the journal clearly shorter. ``OSError``.

        Where none of them is present the folder is away (the empty place of a share that is not
        mounted), and its files come back.
        """
        if self._lines <= 2 * len(present) + SPARE_LINES:
            return
        if not any(name in self._read for name in present):
            return
        self._read = {name: said for name, said in self._read.items() if name in present}
        new = self._path.with_name(self._path.name + ".new")
        lines = (json.dumps([name, *said]) + "\n" for name, said in self._read.items())
        new.write_text("".join(lines), encoding="ascii")
        os.replace(new, self._path)  # noqa: PTH105 - the name says that it may replace
        self._lines, self._torn = len(self._read), False
