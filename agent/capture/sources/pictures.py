"""Picture files for a source: decoded, in the configured size, with what must be said of them."""

from __future__ import annotations

from pathlib import Path

from agent.capture.source import Picture, PictureError
from agent.config import Camera
from agent.picture_files import printable

DEPTH_PICTURES = 5
"""So many pictures of 16 bits are looked at before it is said that their top bits are not used."""
UNUSED_BITS = 2
"""One unused bit is a short exposure; two make a picture of at most a quarter of the light."""


class PictureReader:
    """Reads one file after the other for one camera."""

    def __init__(self, camera: Camera) -> None:
        self._bit_depth = camera.bit_depth
        self.size = camera.requested_size
        self._deep = 0  # pictures of 16 bits so far
        self._top_bit = 0

    def read(self, path: Path) -> Picture:
        """The picture in a file, without its stamps. ``PictureError``, by ``OSError`` where the
        file cannot be read."""
        # Here, so that listing a folder (a check before the start) does without OpenCV.
        from agent.capture.sources.resize import fit
        from agent.picture_files.decode import read_picture

        found = read_picture(path, self._bit_depth)
        remarks = {}
        name = printable(path.name)
        if found.pages > 1:
            remarks["further_pages"] = f"{name}: the first of {found.pages} pictures is read"
        if found.top_bit and (unused := self._unused_bits(found.top_bit)):
            remarks["top_bits_unused"] = f"{name}: {unused}"
        try:
            image, aperture = fit(found.image, found.aperture, self.size)
        except PictureError as error:
            raise PictureError(error.reason, f"{name}: {error.detail}") from error
        return Picture(image, aperture, 0, 0.0, remarks=remarks)

    def _unused_bits(self, top_bit: int) -> str:
        """What is wrong with the depth, said once, of the first pictures together."""
        self._deep += 1
        self._top_bit = max(self._top_bit, top_bit)
        depth = self._bit_depth or 16
        if self._deep != DEPTH_PICTURES or self._top_bit > depth - UNUSED_BITS:
            return ""
        return (
            f"{DEPTH_PICTURES} pictures use {self._top_bit} of {depth} bits and are dark for it: "
            "bit_depth says how many the camera has"
        )
