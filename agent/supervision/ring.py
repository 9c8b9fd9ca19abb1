"""A ring of pictures in anonymous shared memory: one writing process, one reading process.

The writer never waits: when the reader is slow, the oldest picture is overwritten, and the reader
counts it. Every picture has an index, 0, 1, 2 ...; picture i lives in slot i % slots. The slot's
generation is odd (2i + 1) while i is being copied in and even (2i + 2) when it is whole, so a
reader that finds the same even number before and after its copy has read one whole picture.

``captured`` rises before the copy and ``committed`` after it, and the reader walks over the
indices without leaving one out. So at any moment captured = read + overrun + still in the ring, and
after the death of a writer captured - committed is what it was killed within.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.supervision.ring_memory import (
    BEAT,
    CAPTURED,
    COMMITTED,
    LAST,
    OVERSIZE,
    PUSHED,
    SLOT_HEADER_BYTES,
    STALE,
    FrameRing,
    RingError,
)

# After a slot's generation: index, UTC in ms, monotonic s, height, width, channels, aperture?,
# tag length, meta length, pictures left out before it.
_SLOT = struct.Struct("=QqdIIHHIIQ")
_Head = tuple[int, int, float, int, int, int, int, int, int, int]


class PictureTooLarge(RingError):  # noqa: N818 - names the picture, which is what is wrong
    """A picture that does not fit a slot; nothing was written."""


@dataclass(frozen=True, slots=True)
class RingFrame:
    """One picture as it came out: ``image`` (H, W, C) uint8 and all else are copies."""

    index: int
    captured_utc_ms: int
    captured_mono: float
    image: NDArray[np.uint8]
    aperture: NDArray[np.bool_] | None
    tag: bytes
    meta: bytes
    stale: int = 0
    """Pictures that the writer left out before this one."""


class RingWriter:
    """The producing end."""

    def __init__(self, ring: FrameRing, event_fd: int | None = None) -> None:
        self._ring = ring
        self._event_fd = event_fd

    def beat(self, now_mono: float) -> None:
        """Say that the writing process is not stuck, also when there is no picture."""
        self._ring.floats[BEAT] = now_mono

    def leave_out(self) -> None:
        """Count a picture that came too old to be of use."""
        self._ring.words[STALE] += 1

    def push(
        self,
        image: NDArray[np.uint8],
        aperture: NDArray[np.bool_] | None,
        stamps: tuple[int, float],
        tag: bytes = b"",
        meta: bytes = b"",
        *,
        now_mono: float | None = None,
    ) -> int:
        """Copy a picture in and wake the reader; return its index.

        ``image`` (H, W, C) uint8, ``aperture`` (H, W) bool or None, ``stamps`` = (UTC in ms,
        monotonic s) of the capture; ``now_mono``: the moment of the push, where it is another.
        ``PictureTooLarge`` when picture or tag exceed the slot; meta that exceeds it
        is left out and counted.
        """
        ring, shape = self._ring, self._ring.shape
        if image.nbytes > shape.image_bytes or len(tag) > shape.tag_bytes:
            raise PictureTooLarge(f"{image.shape} is {image.nbytes} of {shape.image_bytes} bytes")
        if len(meta) > shape.meta_bytes:
            meta = b""
            ring.words[OVERSIZE] += 1
        index = ring.captured
        ring.words[CAPTURED] = index + 1
        slot = ring.slot(index)
        generation = slot[:8].cast("Q")
        generation[0] = 2 * index + 1
        ring.fence()
        self._fill(slot, index, image, aperture, stamps, tag, meta)
        ring.fence()
        generation[0] = 2 * index + 2
        ring.floats[LAST] = stamps[1]
        ring.floats[PUSHED] = stamps[1] if now_mono is None else now_mono
        ring.fence()
        ring.words[COMMITTED] = index + 1
        if self._event_fd is not None:
            os.eventfd_write(self._event_fd, 1)
        return index

    def _fill(
        self,
        slot: memoryview,
        index: int,
        image: NDArray[np.uint8],
        aperture: NDArray[np.bool_] | None,
        stamps: tuple[int, float],
        tag: bytes,
        meta: bytes,
    ) -> None:
        height, width, channels = image.shape
        shape = self._ring.shape
        sizes = (height, width, channels, aperture is not None, len(tag), len(meta))
        _SLOT.pack_into(slot, 8, index, *stamps, *sizes, self._ring.stale)
        start = SLOT_HEADER_BYTES
        pixels = np.frombuffer(slot, np.uint8, image.size, start)
        np.copyto(pixels.reshape(image.shape), image)
        start += shape.image_bytes
        if aperture is not None:
            bits = np.packbits(aperture)
            slot[start : start + bits.size] = bits.data
        start += shape.aperture_bytes
        slot[start : start + len(tag)] = tag
        start += shape.tag_bytes
        slot[start : start + len(meta)] = meta


class RingReader:
    """The consuming end. ``next`` is the index that comes next; all below it are accounted for."""

    def __init__(self, ring: FrameRing) -> None:
        self.ring = ring
        self.next = 0
        self.read = 0
        self.overrun = 0

    @property
    def in_ring(self) -> int:
        """Pictures begun and not yet accounted for; captured = read + overrun + in_ring."""
        return self.ring.captured - self.next

    @property
    def readable(self) -> int:
        """Whole pictures that wait, those already overwritten not counted."""
        oldest = self.ring.captured - self.ring.shape.slots
        return max(0, self.ring.committed - max(self.next, oldest))

    def peek_mono(self) -> float | None:
        """Capture time of the oldest waiting picture, or None when none waits."""
        head = self._head()
        return None if head is None else head[2]

    def pop(self) -> RingFrame | None:
        """Copy the oldest waiting picture out, or return None. Passes over overwritten ones."""
        while (head := self._head()) is not None:
            frame = self._copy(head)
            self.ring.fence()
            whole = self.ring.generation(self.next) == 2 * self.next + 2
            self.next += 1
            if whole:
                self.read += 1
                return frame
            self.overrun += 1
        return None

    def skip(self) -> None:
        """Account for the oldest waiting picture as read, without the cost of its copy."""
        if self._head() is not None:
            self.next += 1
            self.read += 1

    def _head(self) -> _Head | None:
        """Header of the oldest whole picture; moves ``next`` over what was overwritten."""
        ring = self.ring
        while True:
            oldest = ring.captured - ring.shape.slots
            if self.next < oldest:
                self.overrun += oldest - self.next
                self.next = oldest
            if self.next >= ring.committed:
                return None
            whole = 2 * self.next + 2
            if ring.generation(self.next) == whole:
                head = _SLOT.unpack_from(ring.slot(self.next), 8)
                ring.fence()
                if ring.generation(self.next) == whole:
                    return head
            self.overrun += 1
            self.next += 1

    def _copy(self, head: _Head) -> RingFrame:
        _, utc_ms, mono, height, width, channels, has_aperture, tag_length, meta_length, stale = (
            head
        )
        shape, slot = self.ring.shape, self.ring.slot(self.next)
        start = SLOT_HEADER_BYTES
        pixels = np.frombuffer(slot, np.uint8, height * width * channels, start)
        image = pixels.reshape(height, width, channels).copy()
        start += shape.image_bytes
        aperture = None
        if has_aperture:
            bits = np.frombuffer(slot, np.uint8, (height * width + 7) // 8, start)
            flat = np.unpackbits(bits, count=height * width)
            aperture = flat.reshape(height, width).view(np.bool_)
        start += shape.aperture_bytes
        tag = bytes(slot[start : start + tag_length])
        start += shape.tag_bytes
        meta = bytes(slot[start : start + meta_length])
        return RingFrame(self.next, utc_ms, mono, image, aperture, tag, meta, stale)
