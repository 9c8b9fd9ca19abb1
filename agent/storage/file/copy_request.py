"""A copy of the file that somebody asks the thread of the disk for, and waits for."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.storage.file.backup import CopyError, copy_pages
from agent.storage.file.executor import Executor
from agent.storage.jobs import Job

LOOK_S = 0.2
JOBS_BETWEEN = 8
"""Pieces of work between two pieces of a copy, at most: a stream of it does not hold that up."""


class CopyRequest:
    """Pages are copied by the thread that the file belongs to; ``part`` is nobody else's.

    ``stays``: whether the file is still the one that is open, in an epoch of the executor.
    """

    def __init__(self, part: Path) -> None:
        self.stays: Callable[[int], bool] = lambda _epoch: True
        self._part = part
        self._done = threading.Event()
        self._why: str | None = None
        self._given_up = False

    def make(
        self,
        source: sqlite3.Connection,
        executor: Executor,
        do: Callable[[Job[Any], int], None],
        closing: threading.Event,
    ) -> None:
        """Copy, do the work that waits in between, and tell whoever waits how it went."""

        def between() -> None:
            for _ in range(JOBS_BETWEEN):
                job, epoch = executor.next(0.0)
                if job is not None:
                    do(job, epoch)
                if self._given_up or closing.is_set():
                    raise CopyError("the copy was given up: the agent stops, or it took too long")
                if not self.stays(epoch):
                    raise CopyError("the disk of state_dir failed meanwhile")
                if job is None:
                    return

        try:
            copy_pages(source, self._part, between)
        except (CopyError, OSError, sqlite3.Error) as error:
            self._why = str(error)
        finally:
            self._done.set()

    def wait(self, timeout_s: float, served: Callable[[], bool]) -> None:
        """``CopyError`` where it failed, has not come to its end in time, or nobody is there any
        more who would do it (not ``served``)."""
        end = time.monotonic() + timeout_s
        while not self._done.wait(LOOK_S):
            late = time.monotonic() >= end
            if late or not served():
                self._given_up = True
                why = f"not done within {timeout_s:g} s" if late else "the agent stops"
                raise CopyError(f"the copy was given up: {why}, or its disk failed")
        if self._why is not None:
            raise CopyError(self._why)
