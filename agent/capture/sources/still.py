"""One picture file as a camera that never moves: ``still:///data/peach.png``."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from agent.capture.source import Picture, PictureError, SourceError, SourceInfo
from agent.capture.sources.decode import decode, fit
from agent.capture.sources.pace import Pacer
from agent.config import Camera

DEFAULT_FPS = 280 / 60  # one fruit every 214 ms


def open_source(camera: Camera) -> StillSource:
    """The picture that ``camera.source`` names."""
    return StillSource(camera)


class StillSource:
    """The same picture every 1/fps s."""

    def __init__(self, camera: Camera) -> None:
        self._path = Path(unquote(urlsplit(camera.source).path))
        self._fps = camera.fps or DEFAULT_FPS
        self._size = (
            (camera.width_px, camera.height_px) if camera.width_px and camera.height_px else None
        )
        self._pacer = Pacer(self._fps)

    def open(self) -> SourceInfo:
        """Read the file. ``SourceError`` when that fails."""
        try:
            self._image, self._aperture = fit(*decode(self._path.read_bytes()), self._size)
        except OSError as error:
            raise SourceError("unreadable", f"{self._path}: {error.strerror}") from error
        except PictureError as error:
            raise SourceError("no_readable_picture", str(error), permanent=True) from error
        height, width = self._image.shape[:2]
        return SourceInfo(width, height, self._fps, live=False)

    def read(self) -> Picture | None:
        """Return the picture at its moment."""
        if not self._pacer.wait():
            return None
        return Picture(self._image, self._aperture, time.time_ns() // 1_000_000, time.monotonic())

    def close(self) -> None:
        """Nothing is held."""
