"""A video file as a camera."""

from __future__ import annotations

import math
import time
from pathlib import Path

import cv2
import numpy as np

from agent.capture.source import EndOfSource, Picture, SourceError, SourceInfo
from agent.capture.sources.decode import fit
from agent.capture.sources.pace import Pacer
from agent.capture.urls import parse
from agent.config import Camera

UNKNOWN_FPS = 25.0


class VideoSource:
    """Pictures of a file at the configured rate, or at its own; starts over at its end."""

    def __init__(self, camera: Camera) -> None:
        url = parse(camera.source)
        self._path = Path(url.location)
        self._loops = url.loops
        self._camera = camera
        self._size = (
            (camera.width_px, camera.height_px) if camera.width_px and camera.height_px else None
        )
        self._capture: cv2.VideoCapture | None = None
        self._pacer: Pacer | None = None
        self._read = 0

    def open(self) -> SourceInfo:
        """Open the file with FFmpeg, named: another backend would ignore what is asked of it."""
        capture = self._start()
        fps = self._camera.fps or capture.get(cv2.CAP_PROP_FPS)
        if not math.isfinite(fps) or fps <= 0:
            fps = UNKNOWN_FPS
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        width, height = self._size or (width, height)
        self._pacer = Pacer(fps)
        return SourceInfo(width, height, fps, live=False)

    def read(self) -> Picture | None:
        """Return the next picture at its moment."""
        assert self._capture is not None
        assert self._pacer is not None
        if not self._pacer.wait():
            return None
        while True:
            taken, image = self._capture.read()
            if taken:
                self._read += 1
                bgr, _ = fit(np.asarray(image, np.uint8), None, self._size)
                return Picture(bgr, None, time.time_ns() // 1_000_000, time.monotonic())
            if self._read == 0:
                raise SourceError("no_frames", f"{self._path} holds no readable picture", True)
            if not self._loops:
                raise EndOfSource
            self._read = 0
            self._start()

    def close(self) -> None:
        """Release the file."""
        if self._capture is not None:
            self._capture.release()

    def _start(self) -> cv2.VideoCapture:
        self.close()
        if not self._path.is_file():
            raise SourceError("not_found", f"{self._path} does not exist")
        self._capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise SourceError("not_a_video", f"FFmpeg cannot open {self._path}", permanent=True)
        return self._capture
