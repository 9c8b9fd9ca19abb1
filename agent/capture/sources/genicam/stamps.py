"""When a buffer's picture was taken, on this computer's monotonic clock."""

from __future__ import annotations

import time
from typing import Literal

from agent.capture.sources.genicam.backend import Buffer, Device, NodeError
from agent.capture.sources.genicam.camera_clock import CameraClock
from agent.capture.sources.genicam.nodes import number_of

LATCH_S = 10.0
BURST = 5
"""Latches at a time: the quickest of them tells most exactly."""


class Stamps:
    """By the arrival, or by the camera's clock, latched every ten seconds (``stamp: camera``)."""

    def __init__(self, device: Device, stamp: Literal["host", "camera"]) -> None:
        self._device = device
        self._by_camera = stamp == "camera"
        self._clock = CameraClock()
        self._latched_mono = 0.0
        self._told_steps = 0
        self._untrue = 0
        self.remarks: dict[str, str] = {}
        """Kind -> one line, until somebody takes them."""
        if self._by_camera:
            self._latch()
            if not self._clock.known:
                self.remarks["no_camera_clock"] = "the camera's clock cannot be latched"

    def captured_mono(self, buffer: Buffer) -> float:
        """Monotonic seconds; the arrival where the camera's stamp is none or cannot be true."""
        if not self._by_camera or not self._clock.known:
            return buffer.arrived_mono
        if time.monotonic() - self._latched_mono >= LATCH_S:
            self._latch()
        stamp = buffer.stamp_ns
        found = None if stamp is None else self._clock.captured_mono(stamp, buffer.arrived_mono)
        if found is None:
            self.remarks["stamps_not_believed"] = "a picture's stamp is not of the camera's clock"
            return buffer.arrived_mono
        return found

    def take_remarks(self) -> dict[str, str]:
        taken, self.remarks = self.remarks, {}
        return taken

    def _latch(self) -> None:
        self._latched_mono = time.monotonic()
        latches = []
        for _ in range(BURST):
            try:
                before, ticks, after = self._latch_once()
            except NodeError:
                break
            if ticks is not None:
                latches.append((before, ticks, after))
        self._clock.latched(latches)
        if self._clock.steps > self._told_steps:
            self._told_steps = self._clock.steps
            self.remarks["camera_clock_stepped"] = "the camera's clock was set"

    def _latch_once(self) -> tuple[float, int | None, float]:
        """Monotonic before and after, and the camera's ns of between; None where it cannot say."""
        device, names = self._device, self._device.names()
        older = "TimestampLatch" not in names
        command = "GevTimestampControlLatch" if older else "TimestampLatch"
        if command not in names:
            return 0.0, None, 0.0
        before = time.monotonic()
        device.execute(command)
        after = time.monotonic()
        ticks = number_of(device, "GevTimestampValue" if older else "TimestampLatchValue")
        per_s = number_of(device, "GevTimestampTickFrequency") if older else 1e9
        if ticks is None or not per_s:
            return before, None, after
        return before, round(ticks * 1e9 / per_s), after
