"""One picture in shared memory, from the pool to one worker.

Anonymous memory (memfd): no name that could be left behind, no share of /dev/shm, gone with the
last process that holds it. Pages are reserved before they are written, so that a shortage is an
error here and never a SIGBUS. There is no locking: the pool writes only while the worker has no
job, and a replacement worker gets memory of its own.
"""

from __future__ import annotations

import contextlib
import mmap
import os

import numpy as np
from numpy.typing import NDArray

from agent.ablation.pool.messages import ImageHeader

IMAGE_LIMIT_BYTES = 256 * 1024 * 1024


class SharedImageError(Exception):
    """A picture that cannot be handed over; costs that job."""


class SharedImage:
    """The pool's side: owns the memory and writes to it."""

    def __init__(self, name: str) -> None:
        self.fd = os.memfd_create(name, os.MFD_CLOEXEC)
        self._map: mmap.mmap | None = None

    def write(
        self, image: NDArray[np.uint8], aperture: NDArray[np.bool_] | None = None
    ) -> ImageHeader:
        """Copy in (H, W, C) uint8 and (H, W) bool; ``SharedImageError`` when they do not fit."""
        if image.ndim != 3 or image.dtype != np.uint8:
            raise SharedImageError(f"a picture must be (H, W, C) uint8, found {image.shape}")
        height, width, channels = image.shape
        if aperture is not None and aperture.shape != (height, width):
            raise SharedImageError(f"aperture {aperture.shape} does not fit ({height}, {width})")
        total = image.nbytes + (0 if aperture is None else height * width)
        view = np.frombuffer(self._room_for(total), np.uint8)
        view[: image.nbytes].reshape(image.shape)[...] = image
        if aperture is not None:
            view[image.nbytes : total].reshape(height, width)[...] = aperture
        return ImageHeader(height, width, channels, aperture is not None, total)

    def close(self) -> None:
        """Give the memory back; the worker keeps its own mapping as long as it lives."""
        if self._map is not None:
            self._map.close()
            self._map = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _room_for(self, total: int) -> mmap.mmap:
        if not 0 < total <= IMAGE_LIMIT_BYTES:
            raise SharedImageError(f"a picture of {total} bytes; the limit is {IMAGE_LIMIT_BYTES}")
        if self._map is None or len(self._map) < total:
            try:
                os.posix_fallocate(self.fd, 0, total)
                grown = mmap.mmap(self.fd, total)
            except OSError as error:
                raise SharedImageError(
                    f"no shared memory for {total} bytes: {error.strerror}"
                ) from error
            if self._map is not None:
                with contextlib.suppress(BufferError):  # a view that Python has not let go of yet
                    self._map.close()
            self._map = grown
        return self._map


class SharedImageReader:
    """The worker's side: maps the memory and reads from it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._map: mmap.mmap | None = None

    def read(self, header: ImageHeader) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """Copies of picture and aperture; ``SharedImageError`` when the memory is too small."""
        if self._map is None or len(self._map) < header.total_bytes:
            size = os.fstat(self._fd).st_size
            if size < header.total_bytes:
                raise SharedImageError(f"{header.total_bytes} bytes announced, {size} there")
            self._map = mmap.mmap(self._fd, size, prot=mmap.PROT_READ)
        shape = (header.height, header.width)
        pixels = header.height * header.width
        data = np.frombuffer(self._map, np.uint8, header.total_bytes)
        image = data[: pixels * header.channels].reshape(*shape, header.channels).copy()
        if not header.has_aperture:
            return image, None
        return image, data[pixels * header.channels :].reshape(shape).astype(np.bool_)
