"""A disk that does not answer for as long as a test wants."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.storage import database
from agent.storage.database import Database
from agent.storage.file import opening
from tests.support import wait_until

AT_ONCE_S = 0.01


class HangingDisk:
    """Commits of a file wait while it ``hangs``; what is written in the end is written whole, as a
    kernel does it that was only held up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._answers = threading.Event()
        self._answers.set()
        self.held = 0
        commit = Database._commit

        def held(database: Database, connection: sqlite3.Connection) -> None:
            of_file = threading.current_thread().name == "storage"
            if of_file and not self._answers.is_set():
                self.held += 1
                self._answers.wait(60)
            commit(database, connection)

        monkeypatch.setattr(Database, "_commit", held)

    @contextmanager
    def hangs(self) -> Iterator[None]:
        self._answers.clear()
        self.held = 0
        try:
            yield
        finally:
            self._answers.set()

    def hold(self, database: Database) -> None:
        """Let the thread of the disk hang now, in work that nobody waits for."""
        database.post(lambda connection: connection.execute("SELECT 1"))
        wait_until(lambda: self.held, 30, "the disk hangs")

    def find_out(self, database: Database) -> None:
        """Let somebody find out that it hangs."""
        if not self.held:
            self.hold(database)
        database.watch_for_hangs(AT_ONCE_S)
        wait_until(lambda: (database.tick(), database.status.degraded)[1], 30, "the disk hangs")
        database.watch_for_hangs(60.0)


def hangs_at_the_start(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Files are opened once what is returned is set; a start goes on in memory before."""
    answers = threading.Event()
    open_folder = opening.open_folder

    def held(path: Path) -> object:
        answers.wait(60)
        return open_folder(path)

    monkeypatch.setattr(opening, "open_folder", held)
    monkeypatch.setattr(database, "OPEN_S", AT_ONCE_S)
    return answers
