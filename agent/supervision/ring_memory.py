"""The memory of a ring of pictures: shape, counters and slots; ``ring.py`` says how it works."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import threading
from dataclasses import dataclass

MARK = 0x50495457_52494E47
HEADER_BYTES = 4096
SLOT_HEADER_BYTES = 64
ALIGNMENT = 64

# Words of the ring's header. Each is read and written by one aligned 8-byte move.
MAGIC, SLOTS, IMAGE, TAG, META, CAPTURED, COMMITTED, BEAT, LAST, OVERSIZE = range(10)
STALE, PUSHED = 10, 11
_WORDS = 12


class RingError(Exception):
    """The ring cannot be made or is not one; the message says which and why."""


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
        self.words = self._view[:HEADER_BYTES].cast("Q")
        self.floats = self._view[:HEADER_BYTES].cast("d")
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
            (SLOTS, shape.slots),
            (IMAGE, shape.image_bytes),
            (TAG, shape.tag_bytes),
            (META, shape.meta_bytes),
        ):
            ring.words[word] = value
        ring.fence()
        ring.words[MAGIC] = MARK  # last: whoever sees it sees the rest
        return ring

    @classmethod
    def attach(cls, fd: int) -> FrameRing:
        """Map memory that another process gave its shape; ``RingError`` when it has none (yet)."""
        size = os.fstat(fd).st_size
        if size < HEADER_BYTES:
            raise RingError("the ring has no shape yet")
        with mmap.mmap(fd, HEADER_BYTES, prot=mmap.PROT_READ) as header:
            words = struct.unpack_from(f"={_WORDS}Q", header)
        shape = RingShape(words[SLOTS], words[IMAGE], words[TAG], words[META])
        if words[MAGIC] != MARK or shape.slots < 1 or shape.total_bytes != size:
            raise RingError("the memory is no ring")
        return cls(fd, shape)

    @property
    def captured(self) -> int:
        """Pictures that the writer has begun."""
        return self.words[CAPTURED]

    @property
    def committed(self) -> int:
        """Pictures that the writer has finished."""
        return self.words[COMMITTED]

    @property
    def last_mono(self) -> float:
        """Capture time of the newest whole picture; 0 before the first."""
        return self.floats[LAST]

    @property
    def pushed_mono(self) -> float:
        """When the newest whole picture was put in; 0 before the first."""
        return self.floats[PUSHED]

    @property
    def stale(self) -> int:
        """Pictures that were too old when they came; they take no slot and have no index."""
        return self.words[STALE]

    @property
    def beat_mono(self) -> float:
        """When the writer last said that it is not stuck; 0 before the first time."""
        return self.floats[BEAT]

    @property
    def meta_dropped(self) -> int:
        """Pictures that lost their meta because it did not fit."""
        return self.words[OVERSIZE]

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
        self.words.release()
        self.floats.release()
        self._view.release()
        with contextlib.suppress(BufferError):  # a picture is being copied: unmapped after that
            self._mmap.close()
