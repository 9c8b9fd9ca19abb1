"""The truth log: one JSON line per picture that was due, with the faults at work; and a picture's
number in it, drawn into its corners, so that what shows a picture can be asked which one it is."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.telemetry import log_event

logger = logging.getLogger(__name__)

SIDE = 4
BITS = SIDE * SIDE
CELLS = 32
"""Squares to a lane's side: four of them, an eighth, lie outside of its inscribed circle."""

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


def draw_number(image: NDArray[np.uint8], number: int, lanes: int = 1) -> None:
    """Draw ``number`` modulo 65536 into each lane of ``image``, (H, lanes x H, 3) uint8, in place.

    In the upper left corner white squares are ones, most significant bit first; the upper right one
    says the opposite, so that half of two pictures is no number.
    """
    side = image.shape[0]
    for lane in range(lanes):
        for bit, (row, column) in enumerate(_cells()):
            one = bool(number >> (BITS - 1 - bit) & 1)
            for first, value in ((0, one), (CELLS - SIDE, not one)):
                top, bottom = (round(side * (row + i) / CELLS) for i in (0, 1))
                left, right = (round(side * (first + column + i) / CELLS) for i in (0, 1))
                image[top:bottom, lane * side + left : lane * side + right] = 255 * value


def read_number(image: NDArray[np.uint8]) -> int | None:
    """The number in a picture of one lane, (H, H, 3); None where the corners disagree."""
    side = image.shape[0]
    number = 0
    for row, column in _cells():
        y = int(side * (row + 0.5) / CELLS)
        left, right = (
            float(image[y, int(side * (first + column + 0.5) / CELLS)].mean()) > 127
            for first in (0, CELLS - SIDE)
        )
        if left == right:
            return None
        number = 2 * number + left
    return number


def _cells() -> Iterator[tuple[int, int]]:
    return ((row, column) for row in range(SIDE) for column in range(SIDE))
