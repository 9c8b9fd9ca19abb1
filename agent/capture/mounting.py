"""How a camera is mounted: its picture is turned and mirrored before anything reads it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agent.capture.source import Picture, SourceInfo
from agent.config import Camera


class Mounting:
    """``camera.rotate`` degrees clockwise, then ``camera.mirror``.

    In the capture child, before the ring: whoever comes after knows one picture, the turned one. A
    line that lies at angle a (counter-clockwise as seen, modulo 180) lies at a - rotate after it,
    and at -a after either mirror.
    """

    def __init__(self, camera: Camera) -> None:
        self._quarters = camera.rotate // 90
        self._mirror = camera.mirror

    @property
    def upright(self) -> bool:
        """Whether pictures stay as they are."""
        return self._quarters == 0 and self._mirror == "none"

    def size(self, info: SourceInfo) -> tuple[int, int]:
        """(width, height) of the turned picture."""
        if self._quarters % 2:
            return info.height_px, info.width_px
        return info.width_px, info.height_px

    def apply(self, picture: Picture) -> Picture:
        """The picture with its field of view as they are to be seen."""
        if self.upright:
            return picture
        aperture = picture.aperture
        if aperture is not None:
            aperture = self.turn(aperture.view(np.uint8)).view(np.bool_)
        return replace(picture, image=self.turn(picture.image), aperture=aperture)

    def turn(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn (H, W[, C]) pixels."""
        # Here, so that a child whose camera hangs straight does without it. Of two megapixels it
        # takes 1 to 4 ms; numpy's strided copy takes four to twenty times as long.
        import cv2

        # OpenCV numbers its turns 0, 1, 2: a quarter, a half, three quarters clockwise.
        if self._quarters:
            pixels = np.asarray(cv2.rotate(pixels, self._quarters - 1), np.uint8)
        if self._mirror != "none":
            code = 1 if self._mirror == "horizontal" else 0
            pixels = np.asarray(cv2.flip(pixels, code), np.uint8)
        return pixels
