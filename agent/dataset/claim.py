"""Whose a folder of recordings is: one agent's, and one process of it at a time."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path

from agent.strict_json import read_object

FILE = ".owner.json"
LIMIT_BYTES = 64 * 1024
_TAKEN = frozenset({errno.EACCES, errno.EAGAIN})


class ClaimError(Exception):
    """The folder is another's; the text names it and says what to do."""


class Claim:
    """Held from ``take`` to ``release``, or to the end of the process, however that ends."""

    def __init__(self, root: Path, owner: str) -> None:
        self._root = root
        self._owner = owner
        self._fd = -1

    def take(self) -> None:
        """Make the folder and take it. ``ClaimError``; ``OSError`` where the disk refuses."""
        self._root.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._root / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _TAKEN:
                    raise ClaimError(f"{self._root}: another process records there") from error
                raise
            self._check()
            text = json.dumps({"agent": self._owner}).encode() + b"\n"
            if os.pread(fd, LIMIT_BYTES, 0) != text:
                os.ftruncate(fd, 0)
                os.pwrite(fd, text, 0)
                os.fsync(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def _check(self) -> None:
        if refused := foreign(self._root, self._owner):
            raise ClaimError(f"{self._root}: {refused}")

    def release(self) -> None:
        """Leave it to others; nothing happens where it is not held."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def foreign(root: Path, owner: str) -> str:
    """Why a folder cannot serve ``owner``, in words that follow its name; empty where it can.

    Looks only. A file that cannot be read names nobody.
    """
    try:
        found = read_object((root / FILE).read_bytes(), LIMIT_BYTES).values.get("agent")
    except OSError:
        return ""
    if not isinstance(found, str) or not owner or found in ("", owner):
        return ""
    return (
        f"holds the pictures of another agent: {found}, not {owner}. Name another folder, or, "
        f"where this agent takes the place of that one, remove {FILE} in it"
    )
