"""A camera of Video4Linux: ``v4l2:///dev/video0`` or ``v4l2:0``."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import cv2
import numpy as np

from agent.capture.source import Picture, SourceError, SourceInfo
from agent.capture.sources.size import size_changed
from agent.config import Camera
from agent.records import CaptureMode

TRIGGER_WAIT_S = 1
OLDEST_S = 3600.0
"""A stamp of a longer time ago is one of another clock."""
READ_SHARE = 0.8
"""Of the time-out after which this process would be killed: its own word comes before that."""


def device_path(source: str) -> str:
    """Return the device of ``v4l2:///dev/video0``, ``v4l2:/dev/video0`` or ``v4l2:0``."""
    location = source.partition(":")[2]
    if location.startswith("//"):
        location = location[2:]
    return f"/dev/video{location}" if location.isdecimal() else location


class V4l2Source:
    """Asks for the configured size and rate, and reports what the driver really gave."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._device = device_path(camera.source)
        self._triggered = camera.mode is CaptureMode.TRIGGERED
        # How long the backend waits for a picture, in whole seconds, read when it opens a device.
        # A trigger that does not come is waited for in short turns, so that a read always returns.
        patience_s = max(1, int(READ_SHARE * camera.read_timeout_s))
        self._wait_s = TRIGGER_WAIT_S if self._triggered else patience_s
        self._capture: cv2.VideoCapture | None = None
        self._size = (0, 0)

    def open(self) -> SourceInfo:
        """Open the device with the V4L2 backend, named. ``SourceError`` when it is absent."""
        if not Path(self._device).exists():
            raise SourceError("absent", f"{self._device} does not exist")
        os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] = str(self._wait_s)
        capture = cv2.VideoCapture(self._device, cv2.CAP_V4L2)
        if not capture.isOpened():
            raise SourceError("open_failed", f"{self._device} is busy or no camera")
        self._capture = capture
        for name, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, self._camera.width_px),
            (cv2.CAP_PROP_FRAME_HEIGHT, self._camera.height_px),
            (cv2.CAP_PROP_FPS, self._camera.fps),
        ):
            if value is not None:
                capture.set(name, value)  # a refusal shows in what is read back
        fps = capture.get(cv2.CAP_PROP_FPS)
        self._size = (
            int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        return SourceInfo(
            width_px=self._size[0],
            height_px=self._size[1],
            fps=fps if math.isfinite(fps) and fps > 0 else 0.0,
            live=True,
        )

    def read(self) -> Picture | None:
        """Return the next picture; None when a triggered camera was not triggered."""
        assert self._capture is not None
        begin = time.monotonic()
        if not self._capture.grab():
            waited = time.monotonic() - begin
            if self._triggered and waited >= 0.9 * self._wait_s:
                return None
            raise SourceError("read_failed", f"{self._device} gave no picture in {waited:.1f} s")
        utc_ms, now_mono = time.time_ns() // 1_000_000, time.monotonic()
        age_s = self._age_s(now_mono)
        taken, image = self._capture.retrieve()
        if not taken:
            raise SourceError("read_failed", f"{self._device} gave a picture without content")
        size = (image.shape[1], image.shape[0])
        if size != self._size:
            raise size_changed(self._device, self._size, size)
        stamps = (utc_ms - round(1000 * age_s), now_mono - age_s)
        return Picture(np.asarray(image, np.uint8), None, *stamps)

    def _age_s(self, now_mono: float) -> float:
        """Age of the picture that was grabbed, by the driver's stamp; 0 where it has none.

        Drivers stamp with the monotonic clock. The device keeps pictures that nobody fetches: after
        a hiccup the first ones are as old as it was long.
        """
        assert self._capture is not None
        age_s = now_mono - self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return age_s if 0 < age_s < OLDEST_S else 0.0

    def close(self) -> None:
        """Release the device."""
        if self._capture is not None:
            self._capture.release()
