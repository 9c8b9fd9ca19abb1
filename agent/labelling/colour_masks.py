"""Plain colour masks: black background, white suture, green stem."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.labelling.labels import CLASSES, COLOURS, Labelled, Shape
from agent.picture_files import picture_files
from agent.picture_files.decode import decode_raw, read_bytes
from agent.picture_files.errors import PictureError
from agent.training.folder import decode_mask

FOLDER = "masks"


class ColourMaskWriter:
    """One PNG a picture in ``masks``, as ``train --folder`` reads them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._folder.mkdir()

    def add(self, name: str, mask: NDArray[np.uint8]) -> None:
        """A picture with its (H, W) classes. ``OSError``."""
        palette = np.zeros((len(CLASSES) + 1, 3), np.uint8)
        palette[1:] = [COLOURS[label] for label in CLASSES]
        done, data = cv2.imencode(".png", palette[mask])
        if not done:
            raise OSError(0, "cannot be encoded as PNG", name)
        (self._folder / name).write_bytes(data.tobytes())

    def finish(self, folder: Path) -> None:
        """Nothing is left to do."""


def read_colour_masks(folder: Path) -> list[Labelled]:
    """Of a folder of masks, or of one that holds ``masks``. ``OSError``."""
    where = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    return [_read(path) for path in picture_files(where)]


def _read(path: Path) -> Labelled:
    name = f"{path.stem.removesuffix('_mask')}.png"
    try:
        raw = decode_raw(read_bytes(path)).pixels
        if raw.dtype != np.uint8:
            return Labelled(name, None, (), f"{path.name}: {raw.dtype} values, expected 8 bits")
        mask = decode_mask(np.asarray(raw, np.uint8), path.name)
    except PictureError as error:
        return Labelled(name, None, (), f"{path.name}: cannot be read: {error.detail}")
    except ValueError as error:
        return Labelled(name, None, (), str(error))
    shapes = [Shape(label, _same(mask == place)) for place, label in enumerate(CLASSES, 1)]
    return Labelled(name, (mask.shape[0], mask.shape[1]), tuple(shapes))


def _same(mask: NDArray[np.bool_]) -> Callable[[int, int], NDArray[np.bool_]]:
    return lambda _height, _width: mask
