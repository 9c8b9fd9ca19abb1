"""The capture child: opens one source, puts its pictures into the ring, reports why it ends.

One session per process. A handle that hangs, leaks or crashes is ended with its process, and the
next try starts with nothing of it.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pkgutil import resolve_name
from typing import Any

from agent.capture.check import check_earlier, check_regions, check_size
from agent.capture.fingerprint import TAG_BYTES, fingerprint
from agent.capture.messages import (
    META_BYTES,
    CaptureArgs,
    Ended,
    Failed,
    Opened,
    Remarked,
    Unreadable,
    Waiting,
)
from agent.capture.mounting import Mounting
from agent.capture.source import (
    EndOfSource,
    Measuring,
    Picture,
    PictureError,
    Resumable,
    Source,
    SourceError,
    SourceInfo,
    SourceSession,
    Triggerable,
)
from agent.capture.sources.size import size_changed
from agent.capture.urls import opener_of
from agent.config import Camera
from agent.redaction import without_credentials
from agent.supervision.channel import Channel
from agent.supervision.ring import RingWriter
from agent.supervision.ring_memory import FrameRing, RingError, RingShape

REPORT_S = 0.2
WAITING_S = 0.5
OTHER_SIZE = 3
"""Pictures of another size in a row, of a sensor, that are no accident: it is opened anew."""
RING_LIMIT_BYTES = 1024 * 1024 * 1024
"""All of it is taken from the system at once, so a camera's absurd size must not decide alone."""


def main(channel: Channel, args: object, fds: Mapping[str, int]) -> None:
    """Target of the child; ``fds`` holds the ``ring``'s memory, the ``event`` to raise, and
    for a camera that is triggered with each fruit the ``trigger``."""
    assert isinstance(args, CaptureArgs)
    try:
        source: Source = resolve_name(opener_of(args.camera.source, args.openers))(args.camera)
        if isinstance(source, Resumable):
            source.resume(SourceSession(args.place, channel.send, args.state_dir))
        if isinstance(source, Triggerable) and "trigger" in fds:
            source.trigger_by(fds["trigger"])
        info = source.open()
        first = None
        if not info.width_px:
            channel.send(Opened(info))
            first = _first_picture(channel, source)
            if first is None:
                source.close()
                return
            height, width = first.image.shape[:2]
            info = replace(info, width_px=width, height_px=height)
        mounting = Mounting(args.camera)
        try:
            check_earlier(args.camera, info, args.earlier)
            check_size(args.camera, info)
            check_regions(args.camera, *mounting.size(info))
        except SourceError as error:
            if first is not None:  # it was read, and is no frame
                channel.send(Unreadable({"picture_size": 1}, error.detail))
            raise
        writer = RingWriter(_allocate(args.camera, info, fds["ring"]), fds["event"])
        _Session(channel, source, (info, mounting), writer, args.camera.max_age_s).run(first)
    except EndOfSource:
        channel.send(Ended())
    except SourceError as error:
        channel.send(Failed(error.reason, error.detail, error.permanent))
    except RingError as error:
        channel.send(Failed("no_shared_memory", str(error), permanent=False))
    except Exception as error:  # noqa: BLE001 - the top of the process: whatever a source raises
        text = without_credentials(f"{type(error).__name__}: {error}")
        channel.send(Failed("crashed", text, permanent=False))


def _first_picture(channel: Channel, source: Source) -> Picture | None:
    """Wait for the picture that says how large pictures are; None when the end comes before it."""
    said_mono = 0.0
    while not channel.stopping.is_set():
        try:
            picture = source.read()
        except PictureError as error:
            channel.send(Unreadable({error.reason: 1}, error.detail))
            continue
        if picture is not None:
            return picture
        if time.monotonic() - said_mono >= WAITING_S:
            said_mono = time.monotonic()
            channel.send(Waiting())
    return None


def _allocate(camera: Camera, info: SourceInfo, memory_fd: int) -> FrameRing:
    """Give the ring room for ``queue_slots`` pictures of the size that the source really gives."""
    shape = RingShape(
        slots=camera.queue_slots,
        image_bytes=info.width_px * info.height_px * 3,
        tag_bytes=TAG_BYTES,
        meta_bytes=META_BYTES,
    )
    if shape.total_bytes > RING_LIMIT_BYTES:
        detail = (
            f"{shape.slots} pictures of {info.width_px} x {info.height_px} need"
            f" {shape.total_bytes // 2**20} MiB of at most {RING_LIMIT_BYTES // 2**20}:"
            " lower queue_slots or the resolution"
        )
        raise SourceError("ring_too_large", detail, permanent=True)
    return FrameRing.allocate(memory_fd, shape)


class _Session:
    """The reading loop of one open source."""

    def __init__(
        self,
        channel: Channel,
        source: Source,
        opened: tuple[SourceInfo, Mounting],
        writer: RingWriter,
        max_age_s: float,
    ) -> None:
        info, self._mounting = opened
        self._channel = channel
        self._max_age_s = max_age_s
        self._source = source
        self._measuring = source if isinstance(source, Measuring) else None
        self._size = (info.height_px, info.width_px, 3)
        self._live = info.live
        self._other_size = 0  # pictures in a row
        self._writer = writer
        self._unreadable: Counter[str] = Counter()
        self._example = ""
        self._remarks: Counter[str] = Counter()
        self._remarked: dict[str, str] = {}
        self._reported_mono = 0.0
        writer.beat(time.monotonic())
        channel.send(Opened(info))

    def run(self, first: Picture | None = None) -> None:
        """Read until the parent wishes an end or the source raises one; ``first`` is read."""
        try:
            if first is not None:
                self._store(first)
            while not self._channel.stopping.is_set():
                self._step()
        finally:
            self._report()
            self._tell_measurements()
        # Not in ``finally``: closing a handle that has failed is what hangs most.
        self._source.close()

    def _step(self) -> None:
        try:
            picture = self._source.read()
            if picture is not None:
                self._store(picture)
        except PictureError as error:
            self._unreadable[error.reason] += 1
            self._example = error.detail
        now = time.monotonic()
        self._writer.beat(now)
        self._tell_measurements()
        if (self._unreadable or self._remarks) and now - self._reported_mono >= REPORT_S:
            self._reported_mono = now
            self._report()

    def _tell_measurements(self) -> None:
        if self._measuring is not None and (said := self._measuring.measured()) is not None:
            self._channel.send(said)

    def _store(self, picture: Picture) -> None:
        if picture.image.shape != self._size:
            shape, expected = picture.image.shape, self._size
            self._other_size += 1
            if self._live and self._other_size >= OTHER_SIZE:
                raise size_changed("the camera", expected[1::-1], shape[1::-1])
            raise PictureError("picture_size", f"{shape} where the source said {expected}")
        self._other_size = 0
        aperture = picture.aperture
        if aperture is not None and aperture.shape != self._size[:2]:
            raise PictureError("picture_size", f"aperture {aperture.shape} for {self._size}")
        now = time.monotonic()
        if now - picture.captured_mono > self._max_age_s:
            self._writer.leave_out()
            return
        self._remarks.update(picture.remarks.keys())
        self._remarked |= picture.remarks
        picture = self._mounting.apply(picture)
        self._writer.push(
            picture.image,
            picture.aperture,
            (picture.captured_utc_ms, picture.captured_mono),
            fingerprint(picture.image),
            _meta(picture),
            now_mono=now,
        )

    def _report(self) -> None:
        if self._unreadable:
            self._channel.send(Unreadable(dict(self._unreadable), self._example))
            self._unreadable.clear()
        if self._remarks:
            self._channel.send(Remarked(dict(self._remarks), dict(self._remarked)))
            self._remarks.clear()


def _meta(picture: Picture) -> bytes:
    said: dict[str, Any] = {}
    if picture.truth or picture.machine:
        said = {"truth": dict(picture.truth), "machine": dict(picture.machine)}
    if picture.chunks:
        said["chunks"] = dict(picture.chunks)
    if picture.arrived_mono is not None:
        said["arrived_mono"] = picture.arrived_mono
    return json.dumps(said, default=_plain).encode() if said else b""


def _plain(value: Any) -> Any:
    """Numbers of numpy, which json does not know."""
    return value.item() if hasattr(value, "item") else str(value)
