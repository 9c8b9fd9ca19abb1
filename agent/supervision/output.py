"""What a child writes to stdout and stderr: a few lines to the log, the last ones kept."""

from __future__ import annotations

import os
from collections import deque

from agent.redaction import without_credentials

READ_BYTES = 65536
LINES_PER_POLL = 10
TAIL_LINES = 20
LINE_CHARS = 500


class OutputTail:
    """Reads a non-blocking pipe; keeps the last lines, hands out a capped number of new ones."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.dropped = 0

    def poll(self) -> list[str]:
        """Return the new whole lines, at most ``LINES_PER_POLL``; more are counted in ``dropped``.

        At most one read a call: a child that writes without end cannot hold the caller.
        """
        try:
            data = os.read(self._fd, READ_BYTES)
        except OSError:
            return []
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_CHARS:
            whole.append(self._rest)
            self._rest = b""
        lines = [
            without_credentials(raw.decode(errors="replace").rstrip())[:LINE_CHARS]
            for raw in whole
            if raw.strip()
        ]
        self._tail.extend(lines)
        self.dropped += max(0, len(lines) - LINES_PER_POLL)
        return lines[:LINES_PER_POLL]

    def tail(self) -> list[str]:
        """Return the last lines that were read."""
        return list(self._tail)
