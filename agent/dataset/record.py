"""One recorded picture with what the agent made of it: a folder that is whole or not there.

``ROOT/<camera>/<YYYY-MM-DD>/<id>/`` holds ``picture.png``, ``mask.png`` and ``record.json``. It is
written under a hidden name beside its own and renamed once it is on the disk; it is renamed back to
a hidden name before it is removed. ``remove_unfinished`` clears what a killed process left.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.picture_files import printable
from agent.picture_files.decode import DecodedPicture, decode, read_bytes
from agent.picture_files.errors import PictureError

VERSION = 1
PICTURE, MASK, FACTS = "picture.png", "mask.png", "record.json"


class Reason(enum.StrEnum):
    """Why a picture was kept."""

    NO_READ = "no_read"  # a fruit without an angle
    UNCERTAIN = "uncertain"  # an angle of low confidence
    IMPLAUSIBLE = "implausible"  # unlike the fruit that the model was made for
    ALARMED = "alarmed"  # an alarm of its camera stood
    EXPLAINED = "explained"  # the controls of its explanation were unusual
    RANDOM = "random"  # one in so many, whatever was seen
    SURE = "sure"  # an angle of high confidence, for balance


class RecordError(Exception):
    """A record that cannot be used: ``path`` is the file or folder, ``problem`` what is wrong."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{printable(str(path))}: {problem}")
        self.path = path
        self.problem = problem


class OtherVersionError(RecordError):
    """A record of another version of this program, which that one can read."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a picture when it is kept.

    ``camera``: the lane's name. ``captured_at``: with its time zone. ``variety`` and ``lot`` are
    empty where not known. ``reading``: fields of the fruit message; ``explanation``: numbers of the
    explanation, None before there is one. Numbers that are not finite are written as null.
    """

    camera: str
    frame_id: str
    captured_at: datetime
    reasons: tuple[Reason, ...]
    model: str
    model_sha256: str
    variety: str
    lot: str
    classes: tuple[str, ...]
    reading: Mapping[str, object]
    explanation: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it lies on the disk; the pictures are read when they are asked for.

    ``id`` is also the folder's name. ``captured_at`` is in UTC, to the millisecond. ``height`` and
    ``width`` are the picture's, in pixels.
    """

    id: str
    camera: str
    captured_at: datetime
    reasons: tuple[Reason, ...]
    model: str
    model_sha256: str
    variety: str
    lot: str
    classes: tuple[str, ...]
    reading: Mapping[str, object]
    explanation: Mapping[str, object] | None
    height: int
    width: int
    folder: Path
    picture_sha256: str
    mask_sha256: str

    def picture(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR, exactly as it was segmented. ``RecordError``."""
        return self._decoded().image

    def aperture(self) -> NDArray[np.bool_] | None:
        """(H, W) bool, true inside the field of view; None: all of it is. ``RecordError``."""
        return self._decoded().aperture

    def mask(self) -> NDArray[np.uint8]:
        """(H, W) uint8 indices into ``classes``: the nearest cell of the network's grid.

        ``RecordError``.
        """
        grid = self.grid_mask()
        size = (self.width, self.height)
        return np.asarray(cv2.resize(grid, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)

    def grid_mask(self) -> NDArray[np.uint8]:
        """(h, w) uint8 indices into ``classes``, on the network's own grid. ``RecordError``."""
        path = self.folder / MASK
        mask = _decode(path, self.mask_sha256).image[:, :, 0]
        if int(mask.max()) >= len(self.classes):
            problem = f"holds class {int(mask.max())}, where there are {len(self.classes)}"
            raise RecordError(path, problem)
        return np.ascontiguousarray(mask)

    def _decoded(self) -> DecodedPicture:
        path = self.folder / PICTURE
        decoded = _decode(path, self.picture_sha256)
        if decoded.image.shape[:2] != (self.height, self.width):
            height, width = decoded.image.shape[:2]
            problem = f"{width} x {height} pixels, where {FACTS} says {self.width} x {self.height}"
            raise RecordError(path, problem)
        return decoded


def _decode(path: Path, sha256: str) -> DecodedPicture:
    try:
        data = read_bytes(path)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise RecordError(path, f"is not the file that {FACTS} names: its SHA-256 differs")
        return decode(data)
    except PictureError as error:
        raise RecordError(path, str(error)) from error
