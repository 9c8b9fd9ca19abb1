"""Copies of a database, made by the agent that has it, or here where none runs."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from agent.storage.file.backup import CopyError, copy_whole, like
from agent.storage.file.state_dir import FILE
from agent.storage.upkeep.held import held
from agent.storage.upkeep.look import require_folder
from agent.supervision.control.client import ask
from agent.supervision.control.protocol import NotRunningError

FOLDER = "backups"
PATTERN = "pitwatch-*Z.db"
ANSWER_S = 330.0


def back_up(folder: Path, file: Path | None, keep: int) -> tuple[Path, int]:
    """Copy the database of a folder; return where it lies and its bytes.

    A running agent writes it, with the folders that it sees. Without ``file`` it goes to
    ``backups`` in the folder, where the newest ``keep`` stay. ``StorageError``, ``CopyError``,
    ``ControlError``, ``OSError`` where it cannot be made; nothing half written is left, and no
    backup is removed then.
    """
    require_folder(folder)
    target = (file or _next(folder)).absolute()
    # The agent may not see this file, and the command not the agent's: each has a /tmp of its own.
    if target.exists():
        raise CopyError(f"{target}: is there already, and is left as it is")
    try:
        answer = ask(folder, "backup", {"file": str(target)}, ANSWER_S)
        size = int(str(answer["bytes"]))
    except NotRunningError:
        with held(folder / FILE) as connection:
            size = copy_whole(connection, target)
        like(target, folder)
    if not target.is_file():
        raise CopyError(
            f"{target}: the running agent has written it, and it is not here: the agent has a /tmp "
            f"of its own; choose a folder under {folder}"
        )
    if file is None:
        for old in sorted(target.parent.glob(PATTERN))[:-keep]:
            with contextlib.suppress(OSError):
                old.unlink()
    return target, size


def _next(folder: Path) -> Path:
    backups = folder / FOLDER
    if not backups.is_dir():
        backups.mkdir(mode=0o700)
        like(backups, folder)
    return backups / time.strftime("pitwatch-%Y%m%dT%H%M%SZ.db", time.gmtime())
