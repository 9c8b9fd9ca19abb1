"""The truth log: one JSON line per picture that was due, with the faults at work."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.telemetry import log_event

logger = logging.getLogger(__name__)

LIMIT_BYTES = 256 * 1024 * 1024
"""About a day of fruit; then the log stops, says so once, and the camera goes on."""


class TruthLog:
    """Appends to a file; raises ``OSError`` only when it cannot be opened.

    A line holds ``utc_ms``, ``picture`` (its number since the camera was opened), ``due_s``,
    ``delivered``, and ``truth``, in it ``faults``: name, level and onset of each one at work.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("a", encoding="utf-8")
        self._written = self._file.tell()

    def write(self, entry: Mapping[str, Any]) -> None:
        """Write one line; a full disk or the cap ends the log, not the camera."""
        if self._file.closed:
            return
        line = json.dumps(entry, separators=(",", ":"), allow_nan=False) + "\n"
        if self._written + len(line) > LIMIT_BYTES:
            self._end(f"longer than {LIMIT_BYTES} bytes")
            return
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            self._end(str(error))
        else:
            self._written += len(line)

    def close(self) -> None:
        """Close the file; what was still to be flushed may not fit, which is the log's loss."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _end(self, reason: str) -> None:
        log_event(logger, logging.WARNING, "truth_log_ended", path=str(self._path), reason=reason)
        self.close()
