"""A video file as a camera."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import av.logging
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from agent.capture.source import EndOfSource, Picture, PictureError, SourceError, SourceInfo
from agent.capture.sources.decoder import Decoder, has_decoder, quiet_library, size_of, to_bgr
from agent.capture.sources.pace import Pacer
from agent.capture.sources.resize import fit, same_shape
from agent.capture.sources.size import size_changed
from agent.capture.urls import parse
from agent.config import Camera

UNKNOWN_FPS = 25.0
CUT = "prematurely"  # FFmpeg: "File ended prematurely"


class VideoSource:
    """Pictures of a file at the configured rate, or at its own; starts over at its end.

    What FFmpeg complains of costs its pictures; a file that ends before its end is told of once a
    turn, as one unreadable picture, and what is there is played.
    """

    def __init__(self, camera: Camera) -> None:
        url = parse(camera.source)
        self._path = Path(url.location)
        self._loops = url.loops
        self._fps = camera.fps
        self._asked = camera.requested_size
        self._size = (0, 0)
        self._container: InputContainer | None = None
        self._pictures: Iterator[VideoFrame | PictureError] = iter(())
        self._ready: deque[VideoFrame | PictureError] = deque()
        self._pacer: Pacer | None = None
        self._read = 0

    def open(self) -> SourceInfo:
        """Open the file and decode its first picture. ``SourceError``."""
        quiet_library()
        stream = self._start()
        fps = self._fps or float(stream.average_rate or 0) or UNKNOWN_FPS
        self._pacer = Pacer(fps)
        self._size = self._first_size()
        if self._asked and not same_shape(self._size, self._asked):
            (width, height), (asked_width, asked_height) = self._size, self._asked
            detail = (
                f"{self._path}: {width} x {height} cannot become {asked_width} x {asked_height}"
                " without being stretched, which turns every angle: change width_px or height_px"
            )
            raise SourceError("picture_size", detail, permanent=True)
        return SourceInfo(*(self._asked or self._size), fps, live=False)

    def read(self) -> Picture | None:
        """Return the next picture at its moment."""
        assert self._pacer is not None
        if not self._pacer.wait():
            return None
        frame = self._following()
        if isinstance(frame, PictureError):
            raise PictureError(frame.reason, f"{self._path.name}: {frame.detail}")
        size = size_of(frame)
        if size != self._size and not (self._asked and same_shape(size, self._asked)):
            raise size_changed(str(self._path), self._size, size)
        self._read += 1
        image, _ = fit(to_bgr(frame), None, self._asked)
        utc_ms, mono = time.time_ns() // 1_000_000, time.monotonic()
        return Picture(image, None, utc_ms, mono, remarks=self._decoder.remarks)

    def close(self) -> None:
        """Release the file."""
        if self._container is not None:
            self._container.close()

    def _first_size(self) -> tuple[int, int]:
        for frame in self._pictures:
            self._ready.append(frame)
            if isinstance(frame, VideoFrame):
                return size_of(frame)
        raise self._holds_nothing()

    def _holds_nothing(self) -> SourceError:
        return SourceError("no_frames", f"{self._path} holds no readable picture", permanent=True)

    def _following(self) -> VideoFrame | PictureError:
        while True:
            if self._ready:
                return self._ready.popleft()
            if (frame := next(self._pictures, None)) is not None:
                return frame
            if self._read == 0:
                raise self._holds_nothing()
            if not self._loops:
                raise EndOfSource
            self._read = 0
            self._start()

    def _start(self) -> VideoStream:
        self.close()
        if not self._path.is_file():
            raise SourceError("not_found", f"{self._path} does not exist")
        try:
            self._container = av.open(str(self._path))
        except av.error.FFmpegError as error:
            raise SourceError(
                "not_a_video", f"FFmpeg cannot open {self._path}: {error.strerror}", permanent=True
            ) from error
        if not self._container.streams.video:
            raise SourceError("not_a_video", f"{self._path} has no video", permanent=True)
        stream = self._container.streams.video[0]
        if not has_decoder(stream):
            detail = f"FFmpeg has no decoder for {self._path}"
            raise SourceError("not_a_video", detail, permanent=True)
        self._decoder = Decoder(stream.codec_context, live=False)
        self._pictures = _pictures(self._container, stream, self._decoder)
        return stream


def _pictures(
    container: InputContainer, stream: VideoStream, decoder: Decoder
) -> Iterator[VideoFrame | PictureError]:
    """All pictures of a file, and at its end what was wrong with the file itself."""
    packets = container.demux(stream)
    problem = ""
    while True:
        with av.logging.Capture() as messages:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                packet, problem = None, str(error.strerror)
        problem = problem or next((text.strip() for _, _, text in messages), "")
        if packet is None:
            break
        yield from decoder.decode(packet if packet.size else None)
    if problem:
        yield PictureError("truncated" if CUT in problem else "corrupt", problem)
