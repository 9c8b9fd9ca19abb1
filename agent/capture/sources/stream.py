"""A network stream as FFmpeg opens it: who is asked how, what a refusal means, and its packets."""

from __future__ import annotations

import threading
import time
from collections import deque

import av
import av.error
import av.logging
from av.container import InputContainer
from av.video.stream import VideoStream

from agent.capture.source import SourceError
from agent.capture.sources.access_units import Fragment
from agent.capture.sources.decoder import has_decoder
from agent.config import Transport
from agent.redaction import without_credentials

INBOX_BYTES = 64 * 2**20
"""What may wait for the decoder: then the network is not read any more, and the camera notices."""
CLOSE_S = 0.3
TIMEOUT_SHARE = 0.9
_TRANSPORTS = {
    Transport.TCP: {"rtsp_transport": "tcp"},
    Transport.UDP: {"rtsp_transport": "udp"},
    Transport.AUTO: {"rtsp_flags": "prefer_tcp"},
}
# Only the video is asked for: a second stream would make FFmpeg move the time stamps to the
# sender's clock in mid-stream. No parser: access_units.py says why. One picture is enough to know
# what comes, or a slow camera would not be up before its time-out.
_OPTIONS = {
    "allowed_media_types": "video",
    "fflags": "noparse+nofillin",
    "analyzeduration": "100000",
    "probesize": "200000",
    "fpsprobesize": "0",
}
_REFUSALS = (
    (av.error.HTTPUnauthorizedError, "unauthorised", "user or password is refused"),
    (av.error.HTTPForbiddenError, "forbidden", "the user may not see this stream"),
    (av.error.HTTPNotFoundError, "not_found", "the camera knows no such path"),
    (av.error.ConnectionRefusedError, "open_failed", "nothing listens at this port"),
    (av.error.InvalidDataError, "open_failed", "what answers is no stream"),
)


def open_stream(url: str, transport: Transport, timeouts_s: tuple[float, float]) -> InputContainer:
    """Connect within ``timeouts_s`` = (open, read). ``SourceError`` that says who refused what."""
    shown = without_credentials(url)
    begin = time.monotonic()
    options = {**_OPTIONS, **_TRANSPORTS[transport]}
    try:
        with av.logging.Capture(local=True) as messages:
            container = av.open(url, options=options, timeout=timeouts_s)
    except av.error.FFmpegError as error:
        waited_s = time.monotonic() - begin
        # FFmpeg gives several names to a wait that was cut short.
        cut_short = waited_s >= TIMEOUT_SHARE * timeouts_s[0]
        if cut_short or isinstance(error, av.error.ExitError | av.error.TimeoutError):
            detail = f"{shown} did not answer in {waited_s:.1f} s"
            raise SourceError("open_timeout", detail) from error
        reason, meaning = _refusal(error, transport)
        said = without_credentials(next((text.strip() for _, _, text in messages), str(error)))
        raise SourceError(reason, f"{shown}: {meaning} ({said})") from error
    if not container.streams.video:
        container.close()
        raise SourceError("no_video", f"{shown} has no video")
    if not has_decoder(container.streams.video[0]):
        container.close()
        raise SourceError("no_decoder", f"{shown}: FFmpeg has no decoder for its video")
    return container


def _refusal(error: av.error.FFmpegError, transport: Transport) -> tuple[str, str]:
    for kind, reason, meaning in _REFUSALS:
        if isinstance(error, kind):
            return reason, meaning
    if "461" in str(error):
        return "open_failed", f"the camera offers no transport {transport}"
    return "open_failed", "not opened"


class PacketReader:
    """Reads one stream in a thread of its own, so that every packet has its real arrival.

    While a picture is decoded, packets go on coming in; stamped afterwards, they would look younger
    than they are. And a read that waits inside FFmpeg cannot be asked whether the last picture is
    whole by now.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._stream = stream
        self._waiting: deque[Fragment] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._error: Exception | None = None
        self._over = False
        self._closing = False
        self._thread = threading.Thread(target=self._read, name="packets", daemon=True)
        self._thread.start()

    def next(self, timeout_s: float) -> Fragment | None:
        """Return the next packet, or None when none came in time.

        ``SourceError`` when the stream ended: after all that came before.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._over, timeout_s)
            if self._waiting:
                fragment = self._waiting.popleft()
                self._bytes -= len(fragment.data)
                self._changed.notify_all()
                return fragment
            if self._over:
                raise self._ending()
            return None

    def close(self) -> None:
        """End the thread, and with it the connection where the network lets go of it."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(CLOSE_S)
        if not self._thread.is_alive():
            self._container.close()

    def _ending(self) -> SourceError:
        if isinstance(self._error, av.error.ExitError | av.error.TimeoutError):
            return SourceError("read_timeout", "no packet in time")
        said = "the camera ended the stream" if self._error is None else str(self._error)
        return SourceError("read_failed", without_credentials(said))

    def _read(self) -> None:
        try:
            with av.logging.Capture() as messages:
                for packet in self._container.demux(self._stream):
                    if packet.size and not self._put(packet, bool(messages)):
                        return
                    messages.clear()
        except Exception as error:  # noqa: BLE001 - the top of the thread: its reader decides
            self._error = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _put(self, packet: av.Packet[VideoStream], lost: bool) -> bool:
        fragment = Fragment(bytes(packet), packet.pts, time.monotonic(), lost)
        with self._changed:
            self._changed.wait_for(lambda: self._bytes < INBOX_BYTES or self._closing)
            self._waiting.append(fragment)
            self._bytes += len(fragment.data)
            self._changed.notify_all()
            return not self._closing
