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

import contextlib
import fcntl
import mmap
import os
import struct
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAGIC = 0x50495457_52494E47
HEADER_BYTES = 4096
SLOT_HEADER_BYTES = 64
ALIGNMENT = 64

# Words of the ring's header. Each is read and written by one aligned 8-byte move.
_MAGIC, _SLOTS, _IMAGE, _TAG, _META, _CAPTURED, _COMMITTED, _BEAT, _LAST, _OVERSIZE = range(10)
_STALE, _PUSHED = 10, 11
_WORDS = 12
# After a slot's generation: index, UTC in ms, monotonic s, height, width, channels, aperture?,
# tag length, meta length, pictures left out before it.
_SLOT = struct.Struct("=QqdIIHHIIQ")
_Head = tuple[int, int, float, int, int, int, int, int, int, int]


class RingError(Exception):
    """The ring cannot be made or is not one; the message says which and why."""


class PictureTooLarge(RingError):  # noqa: N818 - names the picture, which is what is wrong
    """A picture that does not fit a slot; nothing was written."""


@dataclass(frozen=True, slots=True)
class RingShape:
    """Capacity: slots, and bytes per slot of picture, tag (fixed use) and meta (free use)."""

    slots: int
    image_bytes: int
    tag_bytes: int = 0
    meta_bytes: int = 0

    @property
    def aperture_bytes(self) -> int:
        """One bit a pixel, of a grey picture in the worst case."""
        return (self.image_bytes + 7) // 8

    @property
    def stride_bytes(self) -> int:
        """Distance between two slots."""
        payload = self.image_bytes + self.aperture_bytes + self.tag_bytes + self.meta_bytes
        return SLOT_HEADER_BYTES + -(-payload // ALIGNMENT) * ALIGNMENT

    @property
    def total_bytes(self) -> int:
        return HEADER_BYTES + self.slots * self.stride_bytes


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


def create_memory(name: str) -> int:
    """Return the descriptor of empty anonymous memory, which one side then gives a shape.

    A memfd: no name in /dev/shm that could outlive its users or be unlinked under them, no share
    of the limited size of that mount, and gone with the last process that holds it.
    """
    return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


class FrameRing:
    """The mapped memory and its counters; made by ``allocate`` or ``attach``."""

    def __init__(self, fd: int, shape: RingShape) -> None:
        self.shape = shape
        self._mmap = mmap.mmap(fd, shape.total_bytes)
        self._view = memoryview(self._mmap)
        self._words = self._view[:HEADER_BYTES].cast("Q")
        self._floats = self._view[:HEADER_BYTES].cast("d")
        self._order = threading.Lock()
        self._order.acquire()

    @classmethod
    def allocate(cls, fd: int, shape: RingShape) -> FrameRing:
        """Give empty memory its shape. ``RingError`` when the system has no room for it.

        All pages are reserved here: a shortage is this error and never a SIGBUS in mid-write. The
        size is sealed, so that no side can shrink the memory under the other.
        """
        try:
            os.posix_fallocate(fd, 0, shape.total_bytes)
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        except OSError as error:
            size_mib = shape.total_bytes / 2**20
            raise RingError(f"no shared memory of {size_mib:.1f} MiB: {error.strerror}") from error
        ring = cls(fd, shape)
        for word, value in (
            (_SLOTS, shape.slots),
            (_IMAGE, shape.image_bytes),
            (_TAG, shape.tag_bytes),
            (_META, shape.meta_bytes),
        ):
            ring._words[word] = value
        ring.fence()
        ring._words[_MAGIC] = MAGIC  # last: whoever sees it sees the rest
        return ring

    @classmethod
    def attach(cls, fd: int) -> FrameRing:
        """Map memory that another process gave its shape; ``RingError`` when it has none (yet)."""
        size = os.fstat(fd).st_size
        if size < HEADER_BYTES:
            raise RingError("the ring has no shape yet")
        with mmap.mmap(fd, HEADER_BYTES, prot=mmap.PROT_READ) as header:
            words = struct.unpack_from(f"={_WORDS}Q", header)
        shape = RingShape(words[_SLOTS], words[_IMAGE], words[_TAG], words[_META])
        if words[_MAGIC] != MAGIC or shape.slots < 1 or shape.total_bytes != size:
            raise RingError("the memory is no ring")
        return cls(fd, shape)

    @property
    def captured(self) -> int:
        """Pictures that the writer has begun."""
        return self._words[_CAPTURED]

    @property
    def committed(self) -> int:
        """Pictures that the writer has finished."""
        return self._words[_COMMITTED]

    @property
    def last_mono(self) -> float:
        """Capture time of the newest whole picture; 0 before the first."""
        return self._floats[_LAST]

    @property
    def pushed_mono(self) -> float:
        """When the newest whole picture was put in; 0 before the first."""
        return self._floats[_PUSHED]

    @property
    def stale(self) -> int:
        """Pictures that were too old when they came; they take no slot and have no index."""
        return self._words[_STALE]

    @property
    def beat_mono(self) -> float:
        """When the writer last said that it is not stuck; 0 before the first time."""
        return self._floats[_BEAT]

    @property
    def meta_dropped(self) -> int:
        """Pictures that lost their meta because it did not fit."""
        return self._words[_OVERSIZE]

    def fence(self) -> None:
        """Order memory: what was written before is visible before what is written after.

        Releasing and taking a lock is a release and an acquire on one address, which processors
        with weak ordering (ARM) keep in program order; on x86 stores are ordered anyway.
        """
        self._order.release()
        self._order.acquire()

    def slot(self, index: int) -> memoryview:
        """The memory of picture ``index``'s slot, header first."""
        start = HEADER_BYTES + index % self.shape.slots * self.shape.stride_bytes
        return self._view[start : start + self.shape.stride_bytes]

    def generation(self, index: int) -> int:
        """Generation number that picture ``index``'s slot has now."""
        return self.slot(index)[:8].cast("Q")[0]

    def close(self) -> None:
        """Unmap. The memory itself is gone when the last process has closed its descriptor."""
        self._words.release()
        self._floats.release()
        self._view.release()
        with contextlib.suppress(BufferError):  # a picture is being copied: unmapped after that
            self._mmap.close()


class RingWriter:
    """The producing end."""

    def __init__(self, ring: FrameRing, event_fd: int | None = None) -> None:
        self._ring = ring
        self._event_fd = event_fd

    def beat(self, now_mono: float) -> None:
        """Say that the writing process is not stuck, also when there is no picture."""
        self._ring._floats[_BEAT] = now_mono

    def leave_out(self) -> None:
        """Count a picture that came too old to be of use."""
        self._ring._words[_STALE] += 1

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
            ring._words[_OVERSIZE] += 1
        index = ring.captured
        ring._words[_CAPTURED] = index + 1
        slot = ring.slot(index)
        generation = slot[:8].cast("Q")
        generation[0] = 2 * index + 1
        ring.fence()
        self._fill(slot, index, image, aperture, stamps, tag, meta)
        ring.fence()
        generation[0] = 2 * index + 2
        ring._floats[_LAST] = stamps[1]
        ring._floats[_PUSHED] = stamps[1] if now_mono is None else now_mono
        ring.fence()
        ring._words[_COMMITTED] = index + 1
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
