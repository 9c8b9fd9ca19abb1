"""Sets of pictures for commands: the pictures of a folder, or whatever the caller draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.ablation.core.errors import AblationError
from agent.picture_files import SUFFIXES, picture_files
from agent.picture_files.decode import decode as decode_picture
from agent.picture_files.decode import read_bytes
from agent.picture_files.errors import PictureError
from agent.reports.masks import decode, read_drawn

MASK_ENDING = "_mask"

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]
"""A picture and its mask, None where there is none."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture by name; ``read`` gives it, (H, W[, C]) uint8, and its mask of class indices,
    (H, W) uint8, or None. ``AblationError`` where it cannot be read."""

    name: str
    read: Callable[[], Pair]


def folder_shots(folder: Path, bit_depth: int | None = None) -> list[Shot]:
    """The pictures of a folder by name, ``NAME_mask.*`` beside ``NAME.*`` being its drawn mask.

    No two have the same name: of ``a.png`` and ``a.jpg`` it is the whole one. ``bit_depth`` as
    ``run`` has it for a camera. ``AblationError`` for a folder that cannot be listed, holds no
    picture, or has two masks of one.
    """
    try:
        names = picture_files(folder)
    except OSError as error:
        raise AblationError(f"{folder}: cannot be listed: {error.strerror or error}") from error
    masks: dict[str, Path] = {}
    for path in names:
        if path.stem.endswith(MASK_ENDING):
            first = masks.setdefault(path.stem.removesuffix(MASK_ENDING), path)
            if first is not path:
                raise AblationError(
                    f"{folder}: two masks of one picture: {first.name}, {path.name}"
                )
    pictures = [path for path in names if not path.stem.endswith(MASK_ENDING)]
    if not pictures:
        raise AblationError(f"{folder}: holds no picture ({', '.join(SUFFIXES)})")
    return [
        replace(file_shot(path, masks.get(path.stem), bit_depth), name=name)
        for path, name in zip(pictures, _names(pictures), strict=True)
    ]


def _names(pictures: Sequence[Path]) -> list[str]:
    """The stem of each; the whole name of those that share it with another (``a.png``, ``a.jpg``),
    for the name is that of what is made of the picture."""
    stems = Counter(path.stem for path in pictures)
    names = [path.stem if stems[path.stem] == 1 else path.name for path in pictures]
    return names if len(set(names)) == len(names) else [path.name for path in pictures]


def references(shots: list[Shot]) -> Iterator[tuple[NDArray[np.uint8], None]]:
    """The pictures alone, as ``channel_means`` takes them."""
    return ((shot.read()[0], None) for shot in shots)


def file_shot(picture: Path, mask: Path | None, bit_depth: int | None = None) -> Shot:
    """A picture and its drawn mask, read when they are asked for."""
    return Shot(picture.stem, partial(_read, picture, mask, bit_depth))


def _read(picture: Path, mask: Path | None, bit_depth: int | None) -> Pair:
    try:
        image = decode_picture(read_bytes(picture), bit_depth).with_alpha
    except PictureError as error:
        raise AblationError(f"{picture}: {error.detail}") from error
    return image, None if mask is None else decode(read_drawn(mask))
