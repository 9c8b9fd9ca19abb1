"""A network camera: ``rtsp://user:password@host/path``."""

from __future__ import annotations

import math
import os
import time

import cv2
import numpy as np

from agent.capture.source import Picture, SourceError, SourceInfo
from agent.config import Camera
from agent.redaction import without_credentials

READ_SHARE = 0.8
"""Of the time-out after which this process would be killed: its own word comes before that."""


class RtspSource:
    """FFmpeg over TCP. The backend is named and both time-outs are given at open.

    OpenCV's time-outs exist in this backend alone and are read only while it opens a stream; set
    later, or with any backend allowed, they do nothing and a read may never return.
    """

    def __init__(self, camera: Camera) -> None:
        self._url = camera.source
        self._shown = without_credentials(camera.source)
        self._open_s = camera.open_timeout_s
        self._read_s = READ_SHARE * camera.read_timeout_s
        self._capture: cv2.VideoCapture | None = None

    def open(self) -> SourceInfo:
        """Connect. ``SourceError``: ``open_timeout`` or ``open_failed``."""
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;tcp"
        begin = time.monotonic()
        capture = cv2.VideoCapture(
            self._url,
            cv2.CAP_FFMPEG,
            [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                int(self._open_s * 1000),
                cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                int(self._read_s * 1000),
            ],
        )
        if not capture.isOpened():
            waited = time.monotonic() - begin
            reason = "open_timeout" if waited >= 0.9 * self._open_s else "open_failed"
            raise SourceError(reason, f"{self._shown} not opened in {waited:.1f} s")
        self._capture = capture
        fps = capture.get(cv2.CAP_PROP_FPS)
        return SourceInfo(
            width_px=int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            height_px=int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            fps=fps if math.isfinite(fps) and 0 < fps <= 1000 else 0.0,
            live=True,
        )

    def read(self) -> Picture | None:
        """Return the next picture. ``SourceError`` when the stream ended or fell silent."""
        assert self._capture is not None
        begin = time.monotonic()
        taken = self._capture.grab()
        waited = time.monotonic() - begin
        # After a time-out the decoder hands out what it still held, as if it were a new picture.
        timed_out = waited >= 0.9 * self._read_s
        if timed_out or not taken:
            reason = "read_timeout" if timed_out else "read_failed"
            raise SourceError(reason, f"{self._shown}: no picture in {waited:.1f} s")
        utc_ms, mono = time.time_ns() // 1_000_000, time.monotonic()
        taken, image = self._capture.retrieve()
        if not taken:
            raise SourceError("read_failed", f"{self._shown}: a picture without content")
        return Picture(np.asarray(image, np.uint8), None, utc_ms, mono)

    def close(self) -> None:
        """Close the connection."""
        if self._capture is not None:
            self._capture.release()
