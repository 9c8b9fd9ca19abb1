"""The pictures that belong to the newest fruit of one lane, found by the id of their frame.

A reading comes later than its picture: after the fruit has passed (free run), or when the machine
has named it. Until then every picture is kept, within an age and a number of bytes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agent.records import Frame, SegmentedFrame

CANDIDATES_S = 4.0
"""How long a picture waits for a reading: a fruit in view is answered after 2 s, and its id waited
for after that."""
CANDIDATES_BYTES = 24 * 1024 * 1024
FRUIT = 8
"""Fruit whose picture can be asked for: at 280 a minute on one lane the last 1.7 s."""
FRUIT_BYTES = 24 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class AnnotatedFrame:
    """A frame with what the network saw in it; ``cutting_line_deg`` is the camera's angle 0,
    ``scale`` the pixels of its image for one pixel of the lane's picture."""

    frame: Frame
    segmentation: SegmentedFrame
    cutting_line_deg: float = 0.0
    scale: float = 1.0


class FruitFrames:
    """One thread calls ``add`` and ``choose``, any thread ``get``. Frames are never copied."""

    def __init__(self) -> None:
        self._candidates: deque[AnnotatedFrame] = deque()
        self._candidate_bytes = 0
        self._fruit: dict[str, AnnotatedFrame] = {}  # replaced, never changed

    def add(self, seen: AnnotatedFrame) -> None:
        """Keep the newest picture as a candidate; the oldest ones go, the newest never."""
        self._candidates.append(seen)
        self._candidate_bytes += seen.frame.image.nbytes
        oldest_mono = seen.frame.captured_mono - CANDIDATES_S
        while len(self._candidates) > 1 and (
            self._candidate_bytes > CANDIDATES_BYTES
            or self._candidates[0].frame.captured_mono < oldest_mono
        ):
            self._candidate_bytes -= self._candidates.popleft().frame.image.nbytes

    def choose(self, frame_id: str) -> None:
        """This frame is the picture of the newest fruit; one that is gone leaves nothing behind."""
        for seen in reversed(self._candidates):
            if seen.frame.frame_id == frame_id:
                self._fruit = _newest({**self._fruit, frame_id: seen})
                return

    def get(self, frame_id: str) -> AnnotatedFrame | None:
        """Return the picture of one of the newest fruit."""
        return self._fruit.get(frame_id)


def _newest(frames: dict[str, AnnotatedFrame]) -> dict[str, AnnotatedFrame]:
    """The last of them, as many as may be kept; one at least."""
    kept: dict[str, AnnotatedFrame] = {}
    size = 0
    for frame_id, seen in reversed(frames.items()):
        size += seen.frame.image.nbytes
        if kept and (len(kept) == FRUIT or size > FRUIT_BYTES):
            break
        kept[frame_id] = seen
    return dict(reversed(kept.items()))
