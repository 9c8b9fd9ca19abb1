"""Messages to and from a capture child, beside its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.capture.source import Place, SourceInfo
from agent.config import Camera

META_BYTES = 8192
"""Room for a simulator's truth and machine data, as JSON."""
CHILD_ENV = {
    # Libraries would start a thread a core in every child, and OpenCV talks without end.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_LOG_LEVEL": "ERROR",
}


@dataclass(frozen=True, slots=True)
class CaptureArgs:
    """One session: open this camera once and read it to its end.

    ``earlier``: what an earlier session found; lanes are not cut from pictures of another size.
    ``place``: where the session before has left a source of files. The child sends each new
    ``Place`` as it is. ``state_dir``: for what a source keeps over restarts.
    """

    camera: Camera
    openers: Mapping[str, str]
    earlier: SourceInfo | None = None
    place: Place = field(default_factory=Place)
    state_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """The source is open and the ring has its shape; pictures follow.

    Without a size in ``info`` there is no ring before the first picture; this then comes again.
    """

    info: SourceInfo


@dataclass(frozen=True, slots=True)
class Waiting:
    """The source is open and has had no picture yet, so that there is no ring to beat in."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Pictures that became no frame since the last such message, by reason; one as an example."""

    counts: Mapping[str, int]
    detail: str


@dataclass(frozen=True, slots=True)
class Remarked:
    """Pictures that were used although something is left out or looks wrong, by kind, since the
    last such message; one of each kind as an example."""

    counts: Mapping[str, int]
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Failed:
    """The session is over; the child ends."""

    reason: str
    detail: str
    permanent: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """A finite source was read to its end; the child ends."""
