"""A new folder: it is there whole, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.labelling.errors import LabellingError


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside ``path``, which takes its place at the end.

    After an error nothing is left. ``LabellingError`` where ``path`` is no empty folder, or the
    disk refuses.
    """
    try:
        if path.exists() and not path.is_dir():
            raise LabellingError(f"{path}: is no folder")
        if path.is_dir() and any(path.iterdir()):
            raise LabellingError(f"{path}: is not empty; name a new folder")
        made = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    except OSError as error:
        raise LabellingError(f"{path}: cannot be made: {error.strerror}") from error
    try:
        made.chmod(0o755)
        yield made
        made.rename(path)
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)  # the first error is the one to tell
        raise LabellingError(f"{path}: cannot be written: {error.strerror}") from error
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
