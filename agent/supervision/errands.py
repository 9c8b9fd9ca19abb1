"""Work that one thread has another one do, between two of its turns, and waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class ErrandError(Exception):
    """The thread that was asked has not come to it in time; then it is not done any more."""


class _Errand(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._begun = False
        self._given_up = False
        self._done = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None

    def carry_out(self) -> None:
        with self._lock:
            if self._given_up:
                return
            self._begun = True
        try:
            self._result.append(self._work())
        except Exception as error:  # noqa: BLE001 - it is the caller's
            self._error = error
        self._done.set()

    def wait(self, timeout_s: float) -> T:
        if not self._done.wait(timeout_s):
            with self._lock:
                self._given_up = not self._begun
            if self._given_up:
                raise ErrandError(f"not done within {timeout_s:g} s")
            self._done.wait()  # begun, and so it ends
        if self._error is not None:
            raise self._error
        return self._result[0]


class Errands:
    """``do`` is for any thread, ``run`` for the one that does them; ``wake`` makes that come."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self._waiting: SimpleQueue[_Errand[object]] = SimpleQueue()

    def do(self, work: Callable[[], T], timeout_s: float) -> T:
        """Return what ``work`` returns, or raise what it raises. ``ErrandError``."""
        errand = _Errand(work)
        self._waiting.put(errand)  # type: ignore[arg-type]
        self._wake()
        return errand.wait(timeout_s)

    @property
    def waiting(self) -> bool:
        """Whether somebody waits: long work that can be begun anew is to be left."""
        return not self._waiting.empty()

    def run(self) -> None:
        """Do what was asked for; never raises."""
        while True:
            try:
                errand = self._waiting.get_nowait()
            except Empty:
                return
            errand.carry_out()
