"""A machine camera: ``genicam://serial/40012345``, ``genicam://ip/10.0.0.21``, ``genicam://user/lane1``."""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.capture.source import Measurements, Picture, PictureError, SourceError, SourceInfo
from agent.capture.sources.genicam.backend import Backend, Buffer, Device
from agent.capture.sources.genicam.backends import make_backend
from agent.capture.sources.genicam.chunks import completed, missing
from agent.capture.sources.genicam.formats import FORMATS, canonical
from agent.capture.sources.genicam.meter import Meter
from agent.capture.sources.genicam.nodes import apply, number_of, value_of
from agent.capture.sources.genicam.options import options_of
from agent.capture.sources.genicam.pixels import to_bgr
from agent.capture.sources.genicam.setup import plan
from agent.capture.sources.genicam.stamps import Stamps
from agent.capture.sources.genicam.trigger import (
    PATIENCE_PERIODS,
    Beat,
    MachineBeat,
    Pacing,
    SoftwareTrigger,
)
from agent.capture.sources.size import size_changed
from agent.config import Camera, GenicamOptions
from agent.records import CaptureMode

WAIT_S = 0.5
"""Longest wait within one read: a camera that rests still shows that its process is not stuck."""
ASK_S = 1.0
"""A camera that has sent nothing for so long is asked whether it is there, as often."""


class GenicamSource:
    """Writes what the options say, then reads buffers; what the camera counts is ``measured``.

    Silence is no error: a camera that answers rests. One that does not is lost (``SourceError``).
    """

    def __init__(
        self, camera: Camera, make: Callable[[GenicamOptions], Backend] = make_backend
    ) -> None:
        self._camera = camera
        self._address, self._options = options_of(camera)
        self._make = make
        self._device: Device | None = None
        self._size = (0, 0)
        self._format = ""
        self._trigger: SoftwareTrigger | None = None
        self._pacing: Pacing | None = None
        self._line: int | None = None
        self._heard_mono = 0.0

    def trigger_by(self, line: int) -> None:
        """Called before ``open``: this eventfd is raised for each fruit."""
        self._line = line

    def open(self) -> SourceInfo:
        """Open and set up the camera, begin its stream. ``SourceError``: those of
        ``Backend.open`` and ``Device.start``, ``feature``, ``pixel_format``, ``features_file``."""
        writes = list(plan(self._camera, self._options))
        device = self._make(self._options).open(self._address, self._options, self._camera)
        self._device = device
        differences = apply(device, writes)
        self._format = self._checked_format(device)
        self._size = self._read_size(device)
        self._stamps = Stamps(device, self._options.stamp)
        self._meter = Meter(device, differences, self._options.trigger)
        if self._options.trigger == "software":
            self._trigger, self._pacing = self._fired_by_software(device)
        device.start(self._options.buffers, self._options.chunks)
        self._heard_mono = time.monotonic()
        return SourceInfo(*self._size, self._rate(device), live=True)

    def read(self) -> Picture | None:
        """The next picture; None when none came and the camera answers.

        ``PictureError`` for a buffer that is no whole picture: ``incomplete`` and other reasons of
        ``Buffer.problem``.
        """
        device = self._opened()
        wait_s = WAIT_S
        if self._pacing is not None:
            wait_s = self._pacing.turn(time.monotonic(), WAIT_S)
        buffer = device.next(wait_s)
        now = time.monotonic()
        if buffer is None:
            if now - self._heard_mono >= ASK_S:
                device.alive()
                self._heard_mono = now
            return None
        self._heard_mono = now
        self._meter.buffer(buffer)
        if self._trigger is not None:
            self._trigger.pictures(self._meter.taken)
        return self._picture(buffer)

    def measured(self) -> Measurements | None:
        """What the camera says of itself; its registers are asked every few seconds."""
        lost = 0 if self._trigger is None else self._trigger.lost(time.monotonic())
        return self._meter.measured(self._stamps, lost, time.monotonic())

    def close(self) -> None:
        """End the stream and release the camera."""
        if self._device is not None:
            self._device.close()

    def _opened(self) -> Device:
        assert self._device is not None
        return self._device

    def _fired_by_software(self, device: Device) -> tuple[SoftwareTrigger, Pacing]:
        if self._camera.fps is not None:
            trigger = SoftwareTrigger(device, PATIENCE_PERIODS / self._camera.fps)
            return trigger, Beat(trigger, self._camera.fps)
        if self._line is None:
            detail = f"{self._address}: trigger software needs fps, or a machine that names fruit"
            raise SourceError("open_failed", detail, permanent=True)
        trigger = SoftwareTrigger(device)
        return trigger, MachineBeat(trigger, self._line)

    def _picture(self, buffer: Buffer) -> Picture:
        if buffer.problem:
            raise PictureError(buffer.problem, self._said(buffer))
        if canonical(buffer.pixel_format) != self._format:
            detail = f"{self._address}: the pixel format is {buffer.pixel_format} now"
            raise SourceError("read_failed", f"{detail} and was {self._format}")
        if (size := (buffer.width_px, buffer.height_px)) != self._size:
            raise size_changed(str(self._address), self._size, size)
        image = to_bgr(buffer)
        captured_mono = self._stamps.captured_mono(buffer)
        age_ms = round(1000 * (time.monotonic() - captured_mono))
        captured_utc_ms = time.time_ns() // 1_000_000 - age_ms
        remarks = {}
        if without := missing(self._options.chunks, buffer.chunks):
            remarks["chunk_missing"] = f"{self._address}: not in the picture: {', '.join(without)}"
        chunks = completed(self._options.chunks, buffer.chunks)
        return Picture(image, None, captured_utc_ms, captured_mono, remarks=remarks, chunks=chunks)

    def _said(self, buffer: Buffer) -> str:
        named = "" if buffer.frame_id is None else f" picture {buffer.frame_id}"
        missing = f", {buffer.missing_packets} packets missing" if buffer.missing_packets else ""
        return f"{self._address}{named}: {buffer.detail or buffer.problem}{missing}"

    def _checked_format(self, device: Device) -> str:
        """The format that the camera is set to. ``SourceError`` with those that it has where it is
        none that can be read: permanent only where the configuration asks for it."""
        found = canonical(str(value_of(device, "PixelFormat") or ""))
        if found in FORMATS:
            return found
        has = device.node("PixelFormat").entries if "PixelFormat" in device.names() else ()
        usable = [one for one in has if canonical(one) in FORMATS]
        detail = (
            f"{self._address}: pixel format {found or 'unknown'} cannot be read; the camera has"
            f" {', '.join(has) or 'no list'}; of these work {', '.join(usable) or 'none'}"
        )
        asked = self._options.pixel_format is not None
        raise SourceError("pixel_format", detail, permanent=asked)

    def _read_size(self, device: Device) -> tuple[int, int]:
        width, height = number_of(device, "Width"), number_of(device, "Height")
        if not width or not height:
            raise SourceError("open_failed", f"{self._address} does not say its Width and Height")
        return int(width), int(height)

    def _rate(self, device: Device) -> float:
        """Pictures per second; 0 where triggers set the pace and nobody says how fast."""
        if self._trigger is not None:
            return self._camera.fps or 0.0
        if self._camera.mode is CaptureMode.TRIGGERED and self._options.trigger != "off":
            return 0.0
        rate = number_of(
            device, "AcquisitionResultingFrameRate", "ResultingFrameRate", "AcquisitionFrameRate"
        )
        return rate if rate is not None and 0 < rate <= 1000 else 0.0
