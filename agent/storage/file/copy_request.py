"""A copy of the file that somebody asks the thread of the disk for, and waits for."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from agent.storage.file.backup import CopyError, copy_pages


class CopyRequest:
    """Pages are copied by the thread that the file belongs to; ``part`` is nobody else's."""

    def __init__(self, part: Path) -> None:
        self._part = part
        self._done = threading.Event()
        self._why: str | None = None
        self.given_up = False

    def make(self, source: sqlite3.Connection, between: Callable[[], None]) -> None:
        """Copy, and tell whoever waits how it went."""
        try:
            copy_pages(source, self._part, between)
        except (CopyError, OSError, sqlite3.Error) as error:
            self._why = str(error)
        finally:
            self._done.set()

    def wait(self, timeout_s: float) -> None:
        """``CopyError`` where it failed, or has not come to its end in time."""
        if not self._done.wait(timeout_s):
            self.given_up = True
            raise CopyError(f"the disk has not copied its file within {timeout_s:g} s")
        if self._why is not None:
            raise CopyError(self._why)
