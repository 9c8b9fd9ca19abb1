"""Long work says where it is: bars on a terminal, lines in a log file.

Work is a sequence of phases, each with a name and perhaps a count of what there is to do.
"""

from __future__ import annotations

import datetime
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

EVERY_S = 30.0
"""A log file hears so often how far a phase is."""


class Phases(Protocol):
    """Who is told."""

    def begin(self, name: str, total: int | None = None) -> None:
        """A phase begins, and the one before it is over."""
        ...

    def done(self, count: int, words: str = "") -> None:
        """So much of the phase is done; ``words``: what else there is to say."""
        ...


class Unseen:
    """Tells nobody."""

    def begin(self, name: str, total: int | None = None) -> None:
        """Nothing."""

    def done(self, count: int, words: str = "") -> None:
        """Nothing."""


class Lines:
    """A line where a phase begins and ends; ``tick`` writes how far it is."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._lock = threading.Lock()
        self._name = ""
        self._total: int | None = None
        self._began = 0.0
        self._count = 0
        self._words = ""

    def begin(self, name: str, total: int | None = None) -> None:
        """A line of its own, after that of the phase before."""
        self.end()
        with self._lock:
            self._name, self._total, self._began = name, total, self._clock()
            self._count, self._words = 0, ""
        self._write(f"{name} begins" + (f": {total} to do" if total else ""))

    def done(self, count: int, words: str = "") -> None:
        """Remembered until the next tick."""
        with self._lock:
            self._count, self._words = count, words

    def end(self) -> None:
        """The phase is over."""
        with self._lock:
            name, self._name = self._name, ""
            took_s = self._clock() - self._began
        if name:
            self._write(f"{name} is done, in {duration(took_s)}")

    def tick(self) -> None:
        """Write how far the phase is, and how long the rest may take."""
        with self._lock:
            if not self._name:
                return
            took_s = self._clock() - self._began
            parts = [f"{self._name}: {self._count}" + (f" of {self._total}" if self._total else "")]
            parts += [self._words] if self._words else []
            if self._total and 0 < self._count < self._total:
                left_s = took_s * (self._total - self._count) / self._count
                parts.append(f"about {duration(left_s)} left")
            else:
                parts.append(f"for {duration(took_s)}")
        self._write(", ".join(parts))


class Bars:
    """A bar for each phase."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def begin(self, name: str, total: int | None = None) -> None:
        """One that pulses where it is not known how much there is to do."""
        self.end()
        self._task = self._progress.add_task(name, total=total, words="")

    def done(self, count: int, words: str = "") -> None:
        """Move it."""
        if self._task is not None:
            self._progress.update(self._task, completed=count, words=words)

    def end(self) -> None:
        """The last bar is full."""
        if self._task is not None:
            task = next(one for one in self._progress.tasks if one.id == self._task)
            total = task.total if task.total is not None else max(1.0, task.completed)
            self._progress.update(self._task, total=total, completed=total)


class Both:
    """Tells several."""

    def __init__(self, *told: Phases) -> None:
        self._told = told

    def begin(self, name: str, total: int | None = None) -> None:
        """Each of them."""
        for one in self._told:
            one.begin(name, total)

    def done(self, count: int, words: str = "") -> None:
        """Each of them."""
        for one in self._told:
            one.done(count, words)


def duration(seconds: float) -> str:
    """In the unit that a person would take.

    >>> duration(9), duration(240), duration(9000)
    ('9 s', '4 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def stamped(line: str) -> None:
    """Write a line to stderr, with the time of day in UTC."""
    now = datetime.datetime.now(datetime.UTC)
    sys.stderr.write(f"{now:%Y-%m-%dT%H:%M:%SZ} {line}\n")
    sys.stderr.flush()


@contextmanager
def shown(console: Console) -> Iterator[Phases]:
    """Bars where ``console`` is a terminal; lines on stderr where that, or stderr, is none."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
    )
    if console.is_terminal and sys.stderr.isatty():
        with Progress(*columns, console=console) as progress:
            bars = Bars(progress)
            yield bars
            bars.end()
        return
    with spoken() as lines:
        if not console.is_terminal:
            yield lines
            return
        with Progress(*columns, console=console, redirect_stderr=False) as progress:
            bars = Bars(progress)
            yield Both(bars, lines)
            bars.end()


@contextmanager
def spoken(write: Callable[[str], None] = stamped, every_s: float = EVERY_S) -> Iterator[Lines]:
    """Lines of which one comes every ``every_s``, whatever the work does meanwhile."""
    lines, over = Lines(write, time.monotonic), threading.Event()

    def speak() -> None:
        while not over.wait(every_s):
            lines.tick()

    speaker = threading.Thread(target=speak, name="phases", daemon=True)
    speaker.start()
    try:
        yield lines
        lines.end()
    finally:
        over.set()
        speaker.join()
