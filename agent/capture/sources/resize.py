"""A picture in the size that the configuration asks for."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.capture.source import PictureError

SHAPE_SHARE = 0.01


def same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether pictures of two sizes (width, height) differ by their scale alone, within 1 %."""
    return abs(size[0] * other[1] / (size[1] * other[0]) - 1) <= SHAPE_SHARE


def fit(
    image: NDArray[np.uint8], aperture: NDArray[np.bool_] | None, size: tuple[int, int] | None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Bring a picture to ``size`` = (width, height) where the configuration asks for one.

    ``PictureError`` (``picture_size``) where it would be stretched: that turns every angle.
    """
    if size is None or size == (image.shape[1], image.shape[0]):
        return image, aperture
    if not same_shape((image.shape[1], image.shape[0]), size):
        detail = (
            f"{image.shape[1]} x {image.shape[0]} cannot become {size[0]} x {size[1]}"
            " without being stretched"
        )
        raise PictureError("picture_size", detail)
    shrinks = size[0] < image.shape[1]
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if aperture is not None:
        mask = cv2.resize(aperture.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        aperture = mask.astype(np.bool_)
    return np.asarray(resized, np.uint8), aperture
