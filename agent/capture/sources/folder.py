"""A folder of pictures as a camera."""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from agent.capture.source import (
    EndOfSource,
    Picture,
    PictureError,
    Place,
    SourceError,
    SourceInfo,
    SourceSession,
)
from agent.capture.sources.pace import Pacer
from agent.capture.sources.pictures import PictureReader
from agent.capture.urls import parse
from agent.config import Camera
from agent.picture_files import SUFFIXES, is_picture, picture_names

DEFAULT_FPS = 280 / 60  # one fruit every 214 ms


def check_folder(folder: Path) -> None:
    """Raise ``SourceError`` for a folder that is absent, cannot be listed, or holds no picture.

    None of them is permanent: a share may be mounted again, and pictures may come.
    """
    try:
        with os.scandir(folder) as entries:
            if any(is_picture(entry) for entry in entries):
                return
    except OSError as error:
        raise unlisted(folder, error) from error
    raise _empty(folder)


def list_pictures(folder: Path) -> list[str]:
    """Return the names of a folder's pictures in order. ``SourceError`` as ``check_folder``."""
    try:
        found = picture_names(folder)
    except OSError as error:
        raise unlisted(folder, error) from error
    if not found:
        raise _empty(folder)
    return found


def unlisted(folder: Path, error: OSError) -> SourceError:
    """The error of a folder that cannot be listed."""
    reason = "not_found" if isinstance(error, FileNotFoundError) else "unreadable"
    return SourceError(reason, f"{folder}: {error.strerror}")


def _empty(folder: Path) -> SourceError:
    return SourceError("empty_folder", f"{folder} holds no picture ({', '.join(SUFFIXES)})")


class FolderSource:
    """Pictures by name, one every 1/fps s; the folder is listed anew at each turn.

    The first readable picture gives the size; where the configuration gives one, every picture is
    resized to it. A picture that cannot be used costs itself. A folder that is gone is an error
    like that of a camera that is away; the next session goes on behind the last picture.
    """

    def __init__(self, camera: Camera) -> None:
        url = parse(camera.source)
        self._folder = Path(url.location)
        self._loops = url.loops
        self._fps = camera.fps or DEFAULT_FPS
        self._reader = PictureReader(camera)
        self._pacer = Pacer(self._fps)
        self._names: Iterator[str] = iter(())
        self._place = Place()
        self._session = SourceSession()
        self._ready: list[tuple[str, Picture | PictureError]] = []

    def resume(self, session: SourceSession) -> None:
        """Go on behind the picture of the last session."""
        self._place, self._session = Place(behind=session.place.behind), session

    def open(self) -> SourceInfo:
        """Find the first readable picture. ``SourceError`` where there is none."""
        names = list_pictures(self._folder)
        start = bisect_right(names, self._place.behind)
        if self._loops:  # where all has been read, or the names are others, from the beginning
            self._names = chain(names[start:], names[:start])
        else:
            self._names = iter(names[start:])
        return SourceInfo(*self._first_size(), self._fps, live=False)

    def _first_size(self) -> tuple[int, int]:
        problem = ""
        for name in self._names:
            ready = self._load(name)
            self._ready.append((name, ready))
            if isinstance(ready, Picture):
                return ready.image.shape[1], ready.image.shape[0]
            problem = problem or str(ready)
        if not problem:
            raise EndOfSource
        raise SourceError("no_readable_picture", f"{self._folder}: {problem}")

    def read(self) -> Picture | None:
        """Return the next picture at its moment."""
        if not self._ready:  # decoded ahead of its moment, so that the beat is steady
            name = self._following()
            self._ready.append((name, self._load(name)))
        if not self._pacer.wait():
            return None
        name, ready = self._ready.pop(0)
        self._place = Place(behind=name)
        if isinstance(ready, PictureError):
            raise ready
        utc_ms, mono = time.time_ns() // 1_000_000, time.monotonic()
        return replace(ready, captured_utc_ms=utc_ms, captured_mono=mono)

    def close(self) -> None:
        """Nothing is held."""

    def _following(self) -> str:
        name = next(self._names, None)
        if name is None:
            if not self._loops:
                raise EndOfSource
            self._names = iter(list_pictures(self._folder))
            name = next(self._names)
        return name

    def _load(self, name: str) -> Picture | PictureError:
        self._session.report(Place(self._place.behind, reading=name))
        try:
            return self._reader.read(self._folder / name)
        except PictureError as error:
            if isinstance(error.__cause__, OSError):  # is it the file, or all of them?
                check_folder(self._folder)
            return error
        finally:
            self._session.report(self._place)
