"""The socket's address, which the system limits to 107 bytes, however deep ``state_dir`` lies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def short_address(folder: Path, name: str) -> Iterator[str]:
    """An address of ``name`` in ``folder``, by an open descriptor of it. ``OSError``."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)
