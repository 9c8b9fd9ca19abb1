"""Coded pictures -> decoded ones, by FFmpeg through PyAV, none kept inside and none damaged."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import av
import av.logging
import numpy as np
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from agent.capture.source import PictureError

PATIENCE = 300
"""Pictures after which a stream that marks none as standing alone is believed again: an encoder may
refresh them bit by bit."""
SQUARE_SHARE = 0.01
HARMLESS = ("deprecated pixel format",)


def quiet_library() -> None:
    """Send FFmpeg's messages to whoever captures them, and none to the terminal."""
    av.logging.set_level(av.logging.WARNING)
    logging.getLogger("libav").disabled = True
    logging.getLogger("libav").setLevel(logging.CRITICAL + 1)
    av.logging.set_skip_repeated(False)


def has_decoder(stream: VideoStream) -> bool:
    """Whether FFmpeg can decode a stream; PyAV's types do not know that it may not."""
    return getattr(stream, "codec_context", None) is not None


class Decoder:
    """One stream's decoder: one thread, so that a picture comes out when it went in.

    With a thread a core FFmpeg keeps one picture a thread, and gives each out when as many more
    have come. What the decoder complains of is damaged, however whole it looks; where pictures
    build on each other, so are all until the next that stands alone.
    """

    def __init__(self, context: VideoCodecContext, live: bool = True) -> None:
        context.thread_count = 1
        if live:
            context.flags |= Flags.low_delay
        self._context = context
        self._unmarked = 0
        self._begun = False  # a stream joined in its middle starts with what nobody can decode
        self._damaged = True
        self.inside = 0
        """Pictures that went in and did not come out."""

    @property
    def remarks(self) -> dict[str, str]:
        """What must be known of the pictures: pixels that are not square turn every angle."""
        aspect = float(self._context.sample_aspect_ratio or 1)
        if abs(aspect - 1) <= SQUARE_SHARE or aspect <= 0:
            return {}
        return {"pixels_not_square": f"they are {aspect:.3f} times as wide as high: angles are off"}

    def decode(
        self, packet: av.Packet[Any] | None, torn: bool = False
    ) -> list[VideoFrame | PictureError]:
        """Decode one whole coded picture (None: give out what is still inside).

        Returns the pictures that came out, and an error for each that cannot be used.
        """
        with av.logging.Capture() as messages:
            try:
                frames: list[VideoFrame] = list(self._context.decode(packet))
                problem = ""
            except av.error.EOFError:
                return []
            except av.error.FFmpegError as error:
                frames, problem = [], str(error)
        if packet is not None:
            self.inside += 1
        problem = problem or ("packets of it are missing" if torn else _complaint(messages))
        came = list(self._judge(frames, problem))
        self.inside = max(0, self.inside - max(len(frames), bool(problem)))
        return came

    def drain(self) -> list[VideoFrame | PictureError]:
        """Give out what the decoder keeps; pictures go on with the next that stands alone."""
        frames = self.decode(None)
        self._context.flush_buffers()
        self._damaged, self._begun, self.inside = True, False, 0
        return frames

    def _judge(self, frames: list[VideoFrame], problem: str) -> Iterable[VideoFrame | PictureError]:
        for frame in frames:
            bad = problem or ("decoded with errors" if frame.is_corrupt else "")
            self._unmarked = 0 if bad else self._unmarked + 1
            if bad:
                self._damaged = True
            elif frame.key_frame or self._unmarked > PATIENCE:
                self._begun, self._damaged = True, False
            if not self._damaged:
                yield frame
            elif self._begun:
                yield PictureError("corrupt", bad or "builds on a damaged picture")
        if problem and not frames:
            if self._begun:
                yield PictureError("corrupt", problem)
            self._damaged = True


def _complaint(messages: list[tuple[int, str, str]]) -> str:
    return next(
        (
            f"{name}: {text.strip()}"
            for level, name, text in messages
            if level <= av.logging.WARNING and not any(part in text for part in HARMLESS)
        ),
        "",
    )


def size_of(frame: VideoFrame) -> tuple[int, int]:
    """Return (width, height) of ``to_bgr``."""
    lying = round(frame.rotation / 90) % 2
    return (frame.height, frame.width) if lying else (frame.width, frame.height)


def to_bgr(frame: VideoFrame) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 BGR, turned upright where the stream says how it was held."""
    image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
