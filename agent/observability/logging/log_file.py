"""The log in a file: rotated at a size, opened anew when asked, and never what stops the agent.

One thread uses it, that of the log's writer. What a full or broken disk refuses is counted; the
file is tried again with the next line, at most once in ``RETRY_S``.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from agent.telemetry import Clock, Telemetry

RETRY_S = 5.0
LOOK_S = 1.0
"""How often it is looked whether the file still lies where it should: logrotate takes it away."""
MODE = 0o640


class LogFile:
    """Writes lines to ``path``. At ``limit_bytes`` it becomes ``path.1``, and so on up to
    ``count``; the oldest goes."""

    def __init__(
        self, path: Path, limit_bytes: int, count: int, telemetry: Telemetry, clock: Clock
    ) -> None:
        self._path = path
        self._limit = limit_bytes
        self._count = count
        self._telemetry = telemetry
        self._clock = clock
        self._fd = -1
        self._size = 0
        self._half = False  # whether a line was cut by a full disk
        self._reopen = threading.Event()
        self._retry_at = self._look_at = float("-inf")

    def reopen(self) -> None:
        """Open the path anew before the next line; from any thread and any signal handler."""
        self._reopen.set()

    def write(self, line: str) -> None:
        """Write one line, or count it as lost."""
        now = self._clock()
        if self._fd < 0 and now < self._retry_at:
            self._telemetry.count("log_file_lines_lost")
            return
        try:
            self._put((line + "\n").encode(errors="backslashreplace"), now)
        except OSError:
            self._telemetry.count("log_file_lines_lost")
            self.close()
            self._retry_at = now + RETRY_S

    def close(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1

    def _put(self, content: bytes, now: float) -> None:
        if self._reopen.is_set() or (now >= self._look_at and self._moved()):
            self._reopen.clear()
            self.close()
        self._look_at = now + LOOK_S if now >= self._look_at else self._look_at
        if self._fd < 0:
            self._open()
        if self._size and self._size + len(content) > self._limit:
            self._rotate()
        if self._half:
            content = b"\n" + content
        written = os.write(self._fd, content)
        self._size += written
        self._half = written < len(content)
        if self._half:
            raise OSError("cut short")

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        self._fd = os.open(self._path, flags, MODE)
        self._size = os.fstat(self._fd).st_size

    def _moved(self) -> bool:
        if self._fd < 0:
            return False
        ours = os.fstat(self._fd)
        self._size = ours.st_size  # somebody may have cut it (copytruncate)
        try:
            there = self._path.stat()
        except OSError:
            return True
        return (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino)

    def _rotate(self) -> None:
        """Shift the files by one. Where that is refused, lines go on into the present file."""
        try:
            if self._count == 0:
                os.ftruncate(self._fd, 0)
                self._size = 0
                return
            for number in range(self._count, 0, -1):
                before = self._name(number - 1)
                if before.exists():
                    before.replace(self._name(number))
        except OSError:
            self._telemetry.count("log_file_rotations_failed")
            self._size = 0  # tried again a file's length later
            return
        self.close()
        self._open()

    def _name(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path
