"""A new folder: it is there whole, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.labelling.errors import LabellingError
from agent.output_file import sync


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside ``path``, which takes its place at the end.

    What is written in it is on the disk before. After an error nothing is left.
    ``LabellingError`` where ``path`` is no empty folder or none that another can replace, or the
    disk refuses.
    """
    try:
        path = path.resolve()  # a link's folder is replaced, not the link
        if path.exists() and not path.is_dir():
            raise LabellingError(f"{path}: is no folder")
        if path.is_dir() and any(path.iterdir()):
            raise LabellingError(f"{path}: is not empty; name a new folder")
        if os.path.ismount(path):
            raise LabellingError(f"{path}: is a mount point; name a new folder in it")
        if path == Path.cwd():
            raise LabellingError(f"{path}: is where you are; name a new folder in it")
        made = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    except RuntimeError as error:
        raise LabellingError(f"{path}: is a link to itself") from error
    except OSError as error:
        raise LabellingError(f"{path}: cannot be made: {error.strerror}") from error
    try:
        made.chmod(0o755)
        yield made
        _sync_tree(made)
        made.rename(path)
        sync(path.parent)
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)  # the first error is the one to tell
        raise LabellingError(f"{path}: cannot be written: {error.strerror}") from error
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _sync_tree(top: Path) -> None:
    for folder, _, files in os.walk(top, topdown=False):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))
