"""Masks that people drew: read by thresholds, and compared with a prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.ablation.core.errors import AblationError
from agent.picture_files.decode import decode_raw, read_bytes
from agent.picture_files.errors import PictureError

WHITE_FROM = 128
GREEN_LEAD = 50
EPSILON = 1e-10


def read_drawn(path: Path) -> NDArray[np.uint8]:
    """A drawing as it is in the file: (H, W), (H, W, 3) or (H, W, 4) uint8, BGR order."""
    try:
        drawn = decode_raw(read_bytes(path)).pixels
    except PictureError as error:
        raise AblationError(f"{path}: {error.detail}") from error
    if drawn.dtype != np.uint8:
        raise AblationError(f"{path}: {drawn.dtype} values; a mask must have 8 bits a channel")
    return np.asarray(drawn, np.uint8)


def decode(drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Class indices of a drawn mask: white is 1 (suture), green is 2 (stem), the rest 0.

    Edges are anti-aliased, so colours are told apart by thresholds, never by equality: green where
    it leads both other channels, white where no channel is dark. Transparent is background. A
    single-channel picture holds the indices themselves.
    """
    if drawn.ndim == 2 or drawn.shape[2] == 1:
        return drawn.reshape(drawn.shape[:2]).copy()
    blue, green, red = (drawn[..., i].astype(np.int16) for i in range(3))
    out = np.zeros(drawn.shape[:2], np.uint8)
    out[np.minimum(np.minimum(blue, green), red) >= WHITE_FROM] = 1
    leads = (green - np.maximum(blue, red) >= GREEN_LEAD) & (green >= WHITE_FROM)
    out[leads] = 2
    if drawn.shape[2] == 4:
        out[drawn[..., 3] < WHITE_FROM] = 0
    return out


def inside(drawn: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H, W) bool: the pixels of a drawn region, white or of any bright colour on black.

    A grey picture of small numbers holds class indices: whatever is not 0 is inside. Transparent is
    outside.
    """
    colours = drawn.reshape(*drawn.shape[:2], -1)
    bright = colours[..., :3].max(axis=2)
    few = colours.shape[2] == 1 and int(bright.max()) < WHITE_FROM
    out = bright > 0 if few else bright >= WHITE_FROM
    if colours.shape[2] == 4:
        out &= colours[..., 3] >= WHITE_FROM
    return np.asarray(out, np.bool_)


def dices(
    prediction: NDArray[np.uint8], truth: NDArray[np.uint8], classes: Sequence[str]
) -> dict[str, float]:
    """Per class (2I + e) / (U + e + I) with e = 1e-10, NaN where the truth has none of the class.

    U is the union and I the intersection, so that this is Dice; ``mean`` is over the classes that
    the truth has.
    """
    out = {}
    for index, name in enumerate(classes):
        found, drawn = prediction == index, truth == index
        both, either = int((found & drawn).sum()), int((found | drawn).sum())
        dice = (2 * both + EPSILON) / (either + EPSILON + both)
        out[name] = dice if drawn.any() else math.nan
    counted = [value for value in out.values() if not math.isnan(value)]
    out["mean"] = math.fsum(counted) / len(counted) if counted else math.nan
    return out
