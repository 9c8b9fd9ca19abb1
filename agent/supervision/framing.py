"""Messages over a stream socket: a length, then a pickle.

Own framing instead of ``multiprocessing.connection``: its ``recv`` blocks until a whole message is
there, so a child stopped in the middle of a large answer would stop its parent as well.
"""

from __future__ import annotations

import pickle
import struct

LENGTH = struct.Struct("!I")
MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024


class FramingError(Exception):
    """The other side sent something that is no message."""


def encode(message: object) -> bytes:
    """Return ``message`` as bytes for the wire; ``ValueError`` above the limit."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    if len(body) > MESSAGE_LIMIT_BYTES:
        raise ValueError(f"a message of {len(body)} bytes is above {MESSAGE_LIMIT_BYTES}")
    return LENGTH.pack(len(body)) + body


class Decoder:
    """Collects bytes as they come and gives the messages that are whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[object]:
        """Take the next bytes; return every message that they complete, in order.

        Only for bytes of a process that this program started itself: a pickle is a program.
        """
        self._buffer += data
        messages: list[object] = []
        start = 0
        while len(self._buffer) - start >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer, start)
            if length > MESSAGE_LIMIT_BYTES:
                raise FramingError(f"a message of {length} bytes is above {MESSAGE_LIMIT_BYTES}")
            end = start + LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(pickle.loads(self._buffer[start + LENGTH.size : end]))  # noqa: S301
            start = end
        del self._buffer[:start]
        return messages
