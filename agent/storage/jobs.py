"""Pieces of work for the database, and what they came to."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class AbandonedError(Exception):
    """The disk did not answer in time; this piece of work was done again in memory."""


@dataclass(eq=False, slots=True)
class Job(Generic[T]):
    """One piece of work. Whoever asked for it may wait for ``done``, or be ``told``."""

    work: Work[T]
    in_transaction: bool = True
    told: Callable[[], None] = lambda: None
    done: threading.Event = field(default_factory=threading.Event)
    after: list[Callable[[], None]] = field(default_factory=list)
    _result: T | None = None
    _error: BaseException | None = None

    def succeed(self, result: T, after: list[Callable[[], None]]) -> None:
        self._result, self.after = result, after
        self.done.set()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self.done.set()

    def result(self) -> T:
        """Return what the work returned, or raise what it raised; ``done`` is set by now."""
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # None is what such work returns


@dataclass(eq=False, slots=True)
class Attempt:
    """One try at a job. ``epoch`` counts how often memory took over: an older one is abandoned."""

    connection: sqlite3.Connection
    epoch: int
    after: list[Callable[[], None]] = field(default_factory=list)
