"""Misbehaving cameras, run in capture children through ``openers``.

The URL is ``test:NAME?key=value``; ``NAME`` is a function below. A file named by ``once`` makes a
camera misbehave in its first session only: it is there from then on.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np

from agent.capture.source import EndOfSource, Picture, PictureError, Place, SourceError, SourceInfo
from agent.capture.sources.folder import FolderSource
from agent.config import Camera

FPS = 20.0
SIZE = (48, 64)
OPENERS = {
    "test": "tests.capture.sources:open_source",
    "slow": "tests.capture.sources:open_slow_folder",
}


class TestSource:
    __test__ = False

    def __init__(self, camera: Camera) -> None:
        name, _, query = camera.source.removeprefix("test:").partition("?")
        self.options = dict(parse_qsl(query))
        self.fps = float(self.options.get("fps", FPS))
        self.pictures = BEHAVIOURS[name](self)
        self.rng = np.random.default_rng()

    def open(self) -> SourceInfo:
        if "refuse" in self.options:
            raise SourceError("open_failed", "nobody there")
        if "hang_open" in self.options and self.first_time():
            time.sleep(600)
        scale = int(self.options.get("scale", 1))
        live = "file" not in self.options
        return SourceInfo(scale * SIZE[1], scale * SIZE[0], self.fps, live)

    def read(self) -> Picture | None:
        told = next(self.pictures)
        if isinstance(told, PictureError):
            raise told
        return told

    def close(self) -> None:
        pass

    def first_time(self) -> bool:
        marker = Path(self.options["once"])
        first = not marker.exists()
        marker.touch()
        return first

    def fresh(self, size: tuple[int, int] = SIZE) -> Picture:
        time.sleep(1 / self.fps)
        return self.again(self.rng.integers(0, 256, (*size, 3), np.uint8))

    def again(self, image: np.ndarray) -> Picture:
        return Picture(image, None, time.time_ns() // 1_000_000, time.monotonic())


# An error is yielded, not raised: raised, it would end the behaviour, and with it the session.
Pictures = Iterator[Picture | PictureError | None]


def steady(source: TestSource) -> Pictures:
    """Delivers, for ever or ``count`` pictures."""
    for _ in range(int(source.options.get("count", 10**9))):
        yield source.fresh()
    raise EndOfSource


def hangs(source: TestSource) -> Pictures:
    """Stops in native code, which holds the interpreter, after ten pictures."""
    for _ in range(10):
        yield source.fresh()
    if source.first_time():
        ctypes.PyDLL(None).sleep(600)
    while True:
        yield source.fresh()


def raises(source: TestSource) -> Pictures:
    """Breaks after five pictures, in every session, with an error that no source should raise."""
    for _ in range(5):
        yield source.fresh()
    raise ValueError("broken driver at rtsp://joe:secret@camera/1")


def fails(source: TestSource) -> Pictures:
    """Loses its connection after five pictures of its first session."""
    for _ in range(5):
        yield source.fresh()
    if source.first_time():
        raise SourceError("read_failed", "connection reset")
    while True:
        yield source.fresh()


def crashes(source: TestSource) -> Pictures:
    """Dies of a segmentation fault, as native code does."""
    for _ in range(5):
        yield source.fresh()
    ctypes.string_at(0)


def freezes(source: TestSource) -> Pictures:
    """Shows one picture again and again from the tenth on, for ``frozen_s`` seconds."""
    for _ in range(10):
        yield source.fresh()
    last = source.fresh()
    end = time.monotonic() + float(source.options["frozen_s"])
    while time.monotonic() < end:
        time.sleep(1 / source.fps)
        yield source.again(last.image)
    while True:
        yield source.fresh()


def falls_silent(source: TestSource) -> Pictures:
    """Delivers ten pictures, then none, without being stuck, for ``silent_s`` seconds."""
    for _ in range(10):
        yield source.fresh()
    end = time.monotonic() + float(source.options["silent_s"])
    while time.monotonic() < end:
        time.sleep(0.1)
        yield None
    while True:
        yield source.fresh()


def mixed(source: TestSource) -> Pictures:
    """Every third picture has another size, every fifth cannot be decoded."""
    number = 0
    while True:
        number += 1
        if number % 5 == 0:
            yield PictureError("corrupt", "picture.png: cut short")
        yield source.fresh((50, 64) if number % 3 == 0 else SIZE)


def resized(source: TestSource) -> Pictures:
    """Changes its size after five pictures, without a word, as a camera's own driver may."""
    for _ in range(5):
        yield source.fresh()
    while True:
        yield source.fresh((50, 64))


def old(source: TestSource) -> Pictures:
    """Every picture is three seconds old."""
    while True:
        picture = source.fresh()
        yield replace(picture, captured_mono=picture.captured_mono - 3)


def talks(source: TestSource) -> Pictures:
    """Knows the truth and the machine, and once knows too much."""
    for number in range(10**9):
        picture = source.fresh()
        truth = {"angle_deg": np.float64(12.5), "long": "x" * (20_000 if number == 3 else 1)}
        yield Picture(
            picture.image,
            None,
            picture.captured_utc_ms,
            picture.captured_mono,
            truth=truth,
            machine={"state": "running", "fruit_id": f"F{number}"},
        )


def writes_pid(source: TestSource) -> Pictures:
    """Leaves its process id in the file ``pid``."""
    Path(source.options["pid"]).write_text(str(os.getpid()))
    yield from steady(source)


BEHAVIOURS = {
    function.__name__: function
    for function in (
        steady,
        hangs,
        raises,
        fails,
        crashes,
        freezes,
        falls_silent,
        mixed,
        resized,
        old,
        talks,
        writes_pid,
    )
}


def open_source(camera: Camera) -> TestSource:
    return TestSource(camera)


class SlowFolder(FolderSource):
    """A folder in which files named ``hangs`` never come, and those named ``crashes`` are fatal."""

    def _load(self, name: str) -> Picture | PictureError:
        self._session.report(Place(self._place.behind, reading=name))
        if "hangs" in name:
            time.sleep(600)
        if "crashes" in name:
            ctypes.string_at(0)
        return super()._load(name)


def open_slow_folder(camera: Camera) -> SlowFolder:
    return SlowFolder(camera.model_copy(update={"source": camera.source.removeprefix("slow:")}))
