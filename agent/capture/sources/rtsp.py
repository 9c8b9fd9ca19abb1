"""A network camera: ``rtsp://user:password@host/path``."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from fractions import Fraction

import av
from av.video.frame import VideoFrame

from agent.capture.source import Picture, PictureError, SourceError, SourceInfo
from agent.capture.sources.access_units import AccessUnit, Assembler
from agent.capture.sources.decoder import Decoder, quiet_library, size_of, to_bgr
from agent.capture.sources.size import size_changed
from agent.capture.sources.stream import PacketReader, open_stream
from agent.capture.sources.stream_clock import QUIET_S, StreamClock
from agent.config import Camera
from agent.redaction import without_credentials

READ_SHARE = 0.8
"""Of the time-out after which this process would be killed: its own word comes before that."""
FIRST_PICTURE_S = 2.0
"""What a stream announces of its size is believed when no picture proves it within this time."""
DRAIN_S = 0.5
DRAIN_PERIODS = 1.6
"""Silence after which the decoder gives out what it keeps to put pictures into order."""
UNKNOWN_PERIOD_S = 2.0
TURN_S = 0.02
IDLE_TURN_S = 0.2
HELD = 1024
STAMPS = 64


@dataclass(slots=True)
class _Session:
    """What belongs to one connection."""

    reader: PacketReader
    decoder: Decoder
    assembler: Assembler
    time_base: Fraction
    packet_mono: float
    unit_mono: float = 0.0
    period_s: float = UNKNOWN_PERIOD_S


class RtspSource:
    """A stream over TCP or UDP, read by FFmpeg.

    ``Picture.captured_mono`` is when the picture was taken by the stream's own time stamps
    (``StreamClock``), not when it was got: a picture out of a queue shows its age.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._shown = without_credentials(camera.source)
        self._read_s = READ_SHARE * camera.read_timeout_s
        self._clock = StreamClock(camera.max_age_s, camera.read_timeout_s)
        self._held: deque[AccessUnit] = deque()
        self._ready: deque[tuple[VideoFrame | PictureError, float]] = deque()
        self._stamps: dict[int | None, float] = {}
        self._session: _Session | None = None
        self._size = (0, 0)

    def open(self) -> SourceInfo:
        """Connect. ``SourceError``: ``open_timeout``, ``unauthorised``, ``open_failed``, others."""
        quiet_library()
        camera = self._camera
        end = time.monotonic() + camera.open_timeout_s
        timeouts_s = (camera.open_timeout_s, self._read_s)
        container = open_stream(camera.source, camera.transport, timeouts_s)
        stream = container.streams.video[0]
        context = stream.codec_context
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        announced = (context.width, context.height)
        self._session = _Session(
            decoder=Decoder(context),
            assembler=Assembler(context.name),
            time_base=stream.time_base or Fraction(1, 90_000),
            packet_mono=time.monotonic(),
            reader=PacketReader(container, stream),
        )
        self._size = self._first_size(announced, end)
        return SourceInfo(*self._size, rate if 0 < rate <= 1000 else 0.0, live=True)

    def read(self) -> Picture | None:
        """Return the next picture. ``SourceError`` when the stream ended, fell silent, changed."""
        assert self._session is not None
        begin = time.monotonic()
        while not self._ready:
            self._turn(self._session)
            waited = time.monotonic() - begin
            if waited >= self._read_s:
                raise SourceError("read_timeout", f"{self._shown}: no picture in {waited:.1f} s")
        frame, captured_mono = self._ready.popleft()
        if isinstance(frame, PictureError):
            raise PictureError(frame.reason, f"{self._shown}: {frame.detail}")
        if size_of(frame) != self._size:
            raise size_changed(self._shown, self._size, size_of(frame))
        image = to_bgr(frame)
        age_ms = round(1000 * (time.monotonic() - captured_mono))
        utc_ms = time.time_ns() // 1_000_000 - age_ms
        remarks = dict(self._session.decoder.remarks)
        if not self._clock.trusted:
            remarks["stamps_not_believed"] = f"{self._shown}: they are no clock; the arrival counts"
        return Picture(image, None, utc_ms, captured_mono, remarks=remarks)

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.reader.close()

    def _first_size(self, announced: tuple[int, int], end: float) -> tuple[int, int]:
        """(width, height) of the first picture; what was announced when none comes soon."""
        assert self._session is not None
        if all(announced):
            end = min(end, time.monotonic() + FIRST_PICTURE_S)
        while time.monotonic() < end:
            self._turn(self._session)
            for frame, _ in self._ready:
                if isinstance(frame, VideoFrame):
                    return size_of(frame)
        if not all(announced):
            raise SourceError("open_timeout", f"{self._shown} gave no picture in time")
        return announced

    def _turn(self, session: _Session) -> None:
        """Decode one picture that is whole and of known age; else take one packet, or see that none
        came. One at a time: a long queue at a connect must not look like a read that hangs.
        """
        if self._held and (self._clock.settled or len(self._held) > HELD):
            self._decode(self._held.popleft(), session)
            return
        waits = TURN_S if session.assembler.pending else IDLE_TURN_S
        try:
            fragment = session.reader.next(waits)
        except SourceError as error:
            raise SourceError(error.reason, f"{self._shown}: {error.detail}") from error
        if fragment is None:
            silent_s = time.monotonic() - session.packet_mono
            unit = session.assembler.quiet(time.monotonic())
            if silent_s >= QUIET_S and not session.assembler.pending:
                self._clock.quiet()
            if (
                silent_s >= max(DRAIN_S, DRAIN_PERIODS * session.period_s)
                and session.decoder.inside
            ):
                self._keep(session.decoder.drain(), session.packet_mono)
        else:
            session.packet_mono = fragment.arrived_mono
            unit = session.assembler.feed(fragment)
        if unit is not None:
            if session.unit_mono:
                session.period_s = unit.arrived_mono - session.unit_mono
            session.unit_mono = unit.arrived_mono
            self._clock.arrive(_seconds(unit, session), unit.arrived_mono, unit.idle_s)
            self._held.append(unit)

    def _decode(self, unit: AccessUnit, session: _Session) -> None:
        captured_mono = self._clock.captured_mono(_seconds(unit, session), unit.arrived_mono)
        self._stamps[unit.stamp] = captured_mono
        while len(self._stamps) > STAMPS:
            del self._stamps[next(iter(self._stamps))]
        packet = av.Packet(unit.data)
        packet.pts = unit.stamp
        packet.time_base = session.time_base
        self._keep(session.decoder.decode(packet, unit.torn), captured_mono)

    def _keep(self, decoded: list[VideoFrame | PictureError], newest_mono: float) -> None:
        for frame in decoded:
            stamp = None if isinstance(frame, PictureError) else frame.pts
            self._ready.append((frame, self._stamps.pop(stamp, newest_mono)))


def _seconds(unit: AccessUnit, session: _Session) -> float | None:
    return None if unit.stamp is None else float(unit.stamp * session.time_base)
