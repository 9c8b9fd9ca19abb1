"""A picture in the size that the configuration asks for."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def fit(
    image: NDArray[np.uint8], aperture: NDArray[np.bool_] | None, size: tuple[int, int] | None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Bring a picture to ``size`` = (width, height) where the configuration asks for one."""
    if size is None or size == (image.shape[1], image.shape[0]):
        return image, aperture
    shrinks = size[0] < image.shape[1]
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if aperture is not None:
        mask = cv2.resize(aperture.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        aperture = mask.astype(np.bool_)
    return np.asarray(resized, np.uint8), aperture
