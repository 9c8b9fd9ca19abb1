"""A folder of pictures as a camera."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.capture.source import EndOfSource, Picture, PictureError, SourceError, SourceInfo
from agent.capture.sources.pace import Pacer
from agent.capture.urls import parse
from agent.config import Camera
from agent.picture_files import SUFFIXES, picture_files

DEFAULT_FPS = 280 / 60  # one fruit every 214 ms

Decoded = tuple[NDArray[np.uint8], NDArray[np.bool_] | None]
"""A picture and its field of view."""


def list_pictures(folder: Path) -> list[Path]:
    """Return the picture files of a folder by name. ``SourceError`` when there are none."""
    try:
        found = picture_files(folder)
    except OSError as error:
        raise SourceError("unreadable", f"{folder}: {error.strerror}") from error
    if not found:
        kinds = ", ".join(SUFFIXES)
        raise SourceError("empty_folder", f"{folder} holds no picture ({kinds})", permanent=True)
    return found


class FolderSource:
    """Pictures by name, one every 1/fps s; the folder is listed anew at each turn.

    The first readable picture gives the size; where the configuration gives one, every picture is
    resized to it. A picture that cannot be used costs itself.
    """

    def __init__(self, camera: Camera) -> None:
        url = parse(camera.source)
        self._folder = Path(url.location)
        self._loops = url.loops
        self._fps = camera.fps or DEFAULT_FPS
        self._bit_depth = camera.bit_depth
        self._size = (
            (camera.width_px, camera.height_px) if camera.width_px and camera.height_px else None
        )
        self._pacer = Pacer(self._fps)
        self._paths: Iterator[Path] = iter(())
        self._next: Decoded | PictureError | None = None

    def open(self) -> SourceInfo:
        """Find the first readable picture. ``SourceError`` where there is none."""
        paths = list_pictures(self._folder)
        problem = ""
        for path in paths:
            try:
                image, _ = self._load(path)
            except PictureError as error:
                problem = problem or str(error)
                continue
            height, width = image.shape[:2]
            self._paths = iter(paths)
            return SourceInfo(width, height, self._fps, live=False)
        raise SourceError("no_readable_picture", f"{self._folder}: {problem}", permanent=True)

    def read(self) -> Picture | None:
        """Return the next picture at its moment."""
        if self._next is None:  # decoded ahead of its moment, so that the beat is steady
            try:
                self._next = self._load(self._following())
            except PictureError as error:
                self._next = error
        if not self._pacer.wait():
            return None
        ready, self._next = self._next, None
        if isinstance(ready, PictureError):
            raise ready
        return Picture(*ready, time.time_ns() // 1_000_000, time.monotonic())

    def close(self) -> None:
        """Nothing is held."""

    def _following(self) -> Path:
        path = next(self._paths, None)
        if path is None:
            if not self._loops:
                raise EndOfSource
            self._paths = iter(list_pictures(self._folder))
            path = next(self._paths)
        return path

    def _load(self, path: Path) -> Decoded:
        # Here, so that listing a folder (a check before the start) does without OpenCV.
        from agent.capture.sources.decode import fit
        from agent.picture_files.decode import read_picture

        picture = read_picture(path, self._bit_depth)
        try:
            return fit(picture.image, picture.aperture, self._size)
        except PictureError as error:
            raise PictureError(error.reason, f"{path.name}: {error.detail}") from error
