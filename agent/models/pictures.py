"""From a camera's picture to the network's input, by declared rules.

1. A picture is uint8: (H, W, 3) in BGR order; (H, W) or (H, W, 1) is grey and is repeated over the
   three channels; (H, W, 4) is BGR with alpha, and alpha >= 128 is inside the field of view.
   Anything else is refused.
2. Outside the aperture the picture is set to black, before it is resized, so that what lies outside
   the field of view cannot reach the network.
3. It is stretched to the network's size: area averaging along an axis that shrinks, linear
   interpolation along one that grows. The scale may differ between the axes; who measures angles on
   the network's grid has to undo that.
4. The channels are put in the declared order (``gray``: one channel) and become
   (value * scale - mean) / std.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.config import Preprocessing

SMALLEST_SIDE_PX = 8
ALPHA_INSIDE = 128
FROM_BGR = {"bgr": None, "rgb": cv2.COLOR_BGR2RGB, "gray": cv2.COLOR_BGR2GRAY}

Picture = NDArray[np.uint8]
Aperture = NDArray[np.bool_]


class PictureError(ValueError):
    """A picture that cannot be shown to the network: costs that one frame and nothing else."""


def standard(
    image: NDArray[np.generic], aperture: NDArray[np.generic] | None = None
) -> tuple[Picture, Aperture | None]:
    """Rule 1: any accepted picture as (H, W, 3) uint8 BGR, and its (H, W) bool aperture or None.

    A given aperture and an alpha channel are both respected. Raises ``PictureError``.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        found = getattr(image, "dtype", type(image).__name__)
        raise PictureError(f"a picture must be uint8, found {found}")
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise PictureError(
            f"a picture must be (H, W) or (H, W, 1, 3 or 4 channels), found {image.shape}"
        )
    if min(image.shape[:2]) < SMALLEST_SIDE_PX:
        raise PictureError(
            f"a picture needs at least {SMALLEST_SIDE_PX} px a side, found {image.shape[:2]}"
        )
    inside: Aperture | None = None
    if aperture is not None:
        if aperture.shape != image.shape[:2]:
            raise PictureError(
                f"aperture {aperture.shape} does not fit the picture {image.shape[:2]}"
            )
        inside = np.asarray(aperture, dtype=np.bool_)
    picture: Picture = image.astype(np.uint8, copy=False)
    if channels == 4:
        alpha: Aperture = picture[..., 3] >= ALPHA_INSIDE
        inside = alpha if inside is None else inside & alpha
        picture = np.ascontiguousarray(picture[..., :3])
    elif channels == 1:
        picture = np.repeat(picture.reshape(*picture.shape[:2], 1), 3, axis=2)
    return picture, inside


def resize(array: NDArray[np.uint8], width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Rule 3, for a picture or for an aperture drawn as 0 and 255."""
    height, width = array.shape[:2]
    smaller = (min(width, width_px), min(height, height_px))
    if smaller != (width, height):
        array = np.asarray(cv2.resize(array, smaller, interpolation=cv2.INTER_AREA), np.uint8)
    if smaller != (width_px, height_px):
        size = (width_px, height_px)
        array = np.asarray(cv2.resize(array, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return array


def fit(picture: Picture, aperture: Aperture | None, settings: Preprocessing) -> Picture:
    """Rules 2 and 3 on a standard picture: (height_px, width_px, 3) uint8 BGR."""
    if aperture is not None:
        picture = np.asarray(
            cv2.bitwise_and(picture, picture, mask=aperture.view(np.uint8)), dtype=np.uint8
        )
    return resize(picture, settings.width_px, settings.height_px)


def to_tensor(fitted: Sequence[Picture], settings: Preprocessing, device: torch.device) -> Tensor:
    """Rule 4 on N fitted pictures: (N, C, h, w) float32 in channels_last memory."""
    code = FROM_BGR[settings.colour]
    stacked = np.stack(fitted if code is None else [cv2.cvtColor(p, code) for p in fitted])
    channels_last = stacked.reshape(*stacked.shape[:3], channels_of(settings))
    batch = torch.from_numpy(channels_last).to(device).permute(0, 3, 1, 2)
    out = batch.to(torch.float32).mul_(settings.scale)
    if any(settings.mean):
        out.sub_(torch.tensor(settings.mean, device=device).view(1, -1, 1, 1))
    if any(value != 1.0 for value in settings.std):
        out.div_(torch.tensor(settings.std, device=device).view(1, -1, 1, 1))
    return out


def channels_of(settings: Preprocessing) -> int:
    """How many input channels these settings make."""
    return 1 if settings.colour == "gray" else 3
