"""Copies of models and references in ``state_dir``: what runs must not go with somebody's folder.

A file is copied under its own digest, so that two of one name do not meet; what no state names any
more is removed.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

from agent.models.card import card_path
from agent.models.errors import ModelError
from agent.models.files import read_file, sha256_of
from agent.storage.whole_file import whole_file
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

KEPT = "files"


def keep(folder: Path, path: Path) -> Path:
    """Copy a model's file, with its card where it has one; the copy's path.

    ``ModelError`` for a file that cannot be read, ``OSError`` where the disk does not take it.
    """
    data = read_file(path)
    card = card_path(path)
    text = _card(card)
    # The card is part of it: the same weights with another card are another copy.
    into = folder / KEPT / sha256_of(data, text or b"")[:24]
    copy = into / path.name
    if not copy.is_file():
        _make(into)
        if text is not None:
            with whole_file(card_path(copy)) as file:
                file.write(text)
        with whole_file(copy) as file:
            file.write(data)
    return copy


def keep_reference(folder: Path, path: Path, text: bytes) -> Path:
    """Copy a reference; ``OSError`` where the disk does not take it."""
    into = folder / KEPT / sha256_of(text)[:24]
    _make(into)
    copy = into / path.name
    if not copy.is_file():
        with whole_file(copy) as file:
            file.write(text)
    return copy


def prune(folder: Path, used: Iterable[Path]) -> None:
    """Remove the copies that nothing in ``used`` lies in. What cannot be removed is logged."""
    wanted = {path.parent for path in used}
    try:
        found = list((folder / KEPT).iterdir())
    except OSError:
        return
    for one in found:
        if one in wanted:
            continue
        try:
            shutil.rmtree(one)
        except OSError as error:
            known = {"folder": str(one), "reason": str(error)}
            log_event(logger, logging.WARNING, "model_copy_not_removed", **known)


def _make(folder: Path) -> None:
    """With its parents, for the agent's own user and group."""
    for one in (folder.parent.parent, folder.parent, folder):
        one.mkdir(mode=0o750, exist_ok=True)


def _card(path: Path) -> bytes | None:
    with contextlib.suppress(FileNotFoundError):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    return None
