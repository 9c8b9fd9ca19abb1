"""A file system of its own whose disk can be made to hang; for root alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import require_tool

SIZE = "64M"


class FrozenDisk:
    """An ext4 in a file, mounted at ``folder``. While it is frozen, every write to it waits in the
    kernel, where no signal ends it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def freeze(self) -> None:
        subprocess.run(["fsfreeze", "-f", str(self.folder)], check=True)

    def thaw(self) -> None:
        """Let it go on; nothing where it is not frozen."""
        subprocess.run(["fsfreeze", "-u", str(self.folder)], check=False, capture_output=True)


@contextmanager
def frozen_disk(folder: Path) -> Iterator[FrozenDisk]:
    """Mount one for the length of a ``with`` block."""
    if os.geteuid() != 0:
        pytest.skip("a file system is mounted by root")
    require_tool("fsfreeze", "mkfs.ext4", "mount")
    folder.mkdir(parents=True)
    image = folder.with_name(folder.name + ".img")
    subprocess.run(["truncate", "-s", SIZE, str(image)], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    disk = FrozenDisk(folder)
    try:
        yield disk
    finally:
        disk.thaw()
        subprocess.run(["umount", "-l", str(folder)], check=False)
        image.unlink()
