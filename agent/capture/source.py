"""What a source of pictures is: the small interface behind which every camera looks the same.

A source lives in a capture child. It is opened once, read until it fails or ends, and never
reopened: a new try is a new process with a new handle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from agent.picture_files.errors import PictureError

__all__ = [
    "EndOfSource",
    "Measurements",
    "Measuring",
    "Picture",
    "PictureError",
    "Place",
    "Resumable",
    "Source",
    "SourceError",
    "SourceInfo",
    "SourceSession",
    "Triggerable",
]


class SourceError(Exception):
    """The source cannot go on.

    ``reason`` is a constant in snake case; ``detail`` is for people and free of credentials.
    ``permanent``: trying again cannot help (an error of configuration).
    """

    def __init__(self, reason: str, detail: str = "", permanent: bool = False) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.permanent = permanent

    def __reduce__(self) -> tuple[Any, ...]:
        return (SourceError, (self.reason, self.detail, self.permanent))


class EndOfSource(Exception):  # noqa: N818 - an event, not an error
    """A finite source was read to its end."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What the opened source gives, which may differ from what was requested.

    ``fps`` 0: unknown. Width and height 0: not known before the first picture. ``live``: pictures
    come from a sensor, so two equal ones in a row are suspicious; false for files, folders and
    noiseless simulations.
    """

    width_px: int
    height_px: int
    fps: float
    live: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: ``image`` (H, W, 3) uint8 BGR, ``aperture`` (H, W) bool or None.

    The stamps say when the picture was taken: by the source's own clock where it has one, else
    right after the grab. ``truth`` and ``machine`` are what a simulator knows (``machine``: state,
    fruit_id, encoder, variety, lot); both must go into JSON. ``remarks``: what must be known of a
    picture that is used all the same, kind -> one line for people. ``arrived_mono``: of one that
    waited here to be read, when it came: the machine's words of then are its own. ``chunks``: facts
    that the camera itself has put into the picture, a number (NaN: not in it) or a text each.
    """

    image: NDArray[np.uint8]
    aperture: NDArray[np.bool_] | None
    captured_utc_ms: int
    captured_mono: float
    truth: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)
    arrived_mono: float | None = None
    chunks: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a source of files stands: ``behind`` the file that was handed out last, ``reading``
    another one now; empty: none. Told to the parent, since whoever hangs in a file cannot say it.
    """

    behind: str = ""
    reading: str = ""


class Source(Protocol):
    """An opened or to be opened camera; used by one thread.

    What makes one of a ``config.Camera``, its class or a function, is named by URL scheme as
    ``package.module:name`` and called in the capture child.
    """

    def open(self) -> SourceInfo:
        """Open the camera, within ``camera.open_timeout_s``. ``SourceError``."""

    def read(self) -> Picture | None:
        """Return the next picture as soon as it is there.

        None when none came within about a second and that is no fault (a trigger that has not
        fired, a machine that stands): it shows that the source is not stuck. A call that lasts
        longer than ``camera.read_timeout_s`` is ended by killing the process. ``SourceError``,
        ``PictureError``, ``EndOfSource``.
        """

    def close(self) -> None:
        """Release the camera."""


def _to_nobody(_place: Place) -> None:
    pass


@dataclass(frozen=True, slots=True)
class SourceSession:
    """What a source of files is given: where the last session has left it, whom to tell its place,
    and the folder for what must survive a restart, if there is one."""

    place: Place = field(default_factory=Place)
    report: Callable[[Place], None] = _to_nobody
    state_dir: Path | None = None


@runtime_checkable
class Resumable(Protocol):
    """A source that the next session goes on with, where the last one ended or was ended."""

    def resume(self, session: SourceSession) -> None:
        """Called before ``open``; its ``report`` is to be called at every change of place."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """What a camera itself says, since the last time.

    ``lost``: pictures that it took and that never came, by reason (``transit``: on the way,
    ``underrun``: no buffer was free here). ``triggers_lost``: triggers of which it took none.
    ``packets``: of its stream, by kind (``missing``, ``resent``). ``temperature_celsius``,
    ``clock_offset_s`` (of its clock to that of PTP's grandmaster): None where it does not say.
    ``remarks``: kind -> one line, to be said once; they count as ``Picture.remarks`` do.
    """

    lost: Mapping[str, int] = field(default_factory=dict)
    triggers_lost: int = 0
    packets: Mapping[str, int] = field(default_factory=dict)
    temperature_celsius: float | None = None
    clock_offset_s: float | None = None
    remarks: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Measuring(Protocol):
    """A source whose camera counts and measures by itself."""

    def measured(self) -> Measurements | None:
        """What is new; None where nothing is. Called after every ``read``, and at the end."""


@runtime_checkable
class Triggerable(Protocol):
    """A source that takes a picture when it is told to."""

    def trigger_by(self, line: int) -> None:
        """Called before ``open``: the eventfd ``line`` is raised by one for each fruit."""
