"""A folder of pictures with masks: the line's own fruit.

Either ``name.png`` beside ``name_mask.png``, or ``images/name.*`` and ``masks/name.*``. A mask is a
colour picture (black background, white suture, green stem, edges anti-aliased) or a label map (one
channel: 0 background, 1 suture, 2 stem). ``dataset.json``, where there is one, tells the lots.
Everything wrong with a folder is reported at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent import picture_files
from agent.models import pictures
from agent.picture_files.decode import decode_raw, read_bytes
from agent.picture_files.errors import PictureError
from agent.simulator.layout import MASK_BACKGROUND, MASK_STEM, MASK_SUTURE
from agent.training.errors import TrainingError
from agent.training.line.lots import CARD, held_out_lots, lots_of
from agent.training.samples import Sample

SUFFIXES = tuple(suffix for suffix in picture_files.SUFFIXES if suffix != ".webp")
"""Of pictures and masks: as everywhere, but no WebP."""
MASK_ENDING = "_mask"
HELD_OUT_SHARE = 0.2
STRANGE_SHARE = 0.002
"""A colour mask may have this share of pixels that are neither black, white nor green: the rims of
anti-aliased edges under compression. More is a mask of other classes."""
SHOWN_PROBLEMS = 20
STARTED_WORDS = " The weights that it was refined from may have been trained on them."


@dataclass(frozen=True, slots=True)
class Pair:
    """One picture and its mask. ``lot`` "" where no ``dataset.json`` says it."""

    name: str
    picture: Path
    mask: Path
    lot: str = ""

    def load(self) -> Sample:
        """Read both; ``TrainingError`` naming the file for whatever is wrong with them."""
        image = _read(self.picture)
        try:
            standard, aperture = pictures.standard(image)
        except pictures.PictureError as error:
            raise TrainingError(f"{self.picture}: {error}") from error
        raw = _read(self.mask)
        if raw.shape[:2] != standard.shape[:2]:
            raise TrainingError(
                f"{self.mask}: {raw.shape[1]}x{raw.shape[0]} px, but its picture is "
                f"{standard.shape[1]}x{standard.shape[0]}"
            )
        mask = decode_mask(raw, str(self.mask))
        if aperture is None or aperture.all():
            aperture = _round_if_black_corners(standard)
        mask[~aperture] = MASK_BACKGROUND
        if not mask.any():
            raise TrainingError(f"{self.mask}: an empty mask: no suture and no stem")
        return Sample(standard, aperture, mask)


class FolderSamples:
    """Pairs in a seeded random order, without end."""

    def __init__(self, pairs: tuple[Pair, ...]) -> None:
        if not pairs:
            raise TrainingError("no pictures to train on")
        self._pairs = pairs

    def sample(self, index: int) -> Sample:
        chosen = int(np.random.default_rng([31, index]).integers(len(self._pairs)))
        return self._pairs[chosen].load()


def find_pairs(folder: Path) -> tuple[Pair, ...]:
    """All pairs of a folder, by name; ``TrainingError`` listing every picture without its mask and
    every mask without its picture, or saying that there are none. Where the folder has a
    ``dataset.json``, it tells their lots, and a picture that it gives none is an error unless it
    gives none to any."""
    if not folder.is_dir():
        raise TrainingError(f"{folder}: no such folder")
    if (folder / "images").is_dir() and (folder / "masks").is_dir():
        images, masks = _by_stem(folder / "images"), _by_stem(folder / "masks")
    else:
        files = _by_stem(folder)
        drawn = {stem: path for stem, path in files.items() if stem.endswith(MASK_ENDING)}
        images = {stem: path for stem, path in files.items() if stem not in drawn}
        masks = {stem.removesuffix(MASK_ENDING): path for stem, path in drawn.items()}
    problems = [f"{images[stem]}: has no mask" for stem in sorted(images.keys() - masks.keys())]
    problems += [f"{masks[stem]}: has no picture" for stem in sorted(masks.keys() - images.keys())]
    if not problems and not images:
        problems = [f"{folder}: holds no pictures ({', '.join(SUFFIXES)})"]
    lots = lots_of(folder)
    # The card names the picture by its own name, or by that of its copy as PNG.
    told = {
        stem: lots.get(path.name) or lots.get(f"{stem}.png", "") for stem, path in images.items()
    }
    if any(told.values()) and not all(told.values()):
        known = sum(map(bool, told.values()))
        problems += [
            f"{folder / CARD}: has the lots of {known} of {len(told)} pictures: write the others' "
            "there, or take those pictures and their masks away, or the file to hold out by name"
        ]
        problems += [
            f"{images[stem]}: {CARD} gives it no lot, as it does to others: it might be of a lot "
            "that is held out"
            for stem in sorted(told)
            if not told[stem]
        ]
    _raise(problems)
    return tuple(Pair(stem, images[stem], masks[stem], told[stem]) for stem in sorted(images))


def check_pairs(pairs: tuple[Pair, ...], done: Callable[[int], None] = lambda _: None) -> None:
    """Read every pair once; ``TrainingError`` naming all that cannot be used."""
    problems = []
    for count, pair in enumerate(pairs):
        done(count)
        try:
            pair.load()
        except TrainingError as error:
            problems.append(str(error))
    _raise(problems)


def split_pairs(pairs: tuple[Pair, ...]) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """(training, held out): about a fifth is held out, so that adding pictures moves none from one
    side to the other. Where lots are known, whole lots chosen by their names, and never a picture
    of a lot that is trained on; ``TrainingError`` for one lot alone. Else pictures by name; one
    pair serves as both."""
    if any(pair.lot for pair in pairs):
        lots = held_out_lots((pair.lot for pair in pairs), HELD_OUT_SHARE)
        return (
            tuple(pair for pair in pairs if pair.lot not in lots),
            tuple(pair for pair in pairs if pair.lot in lots),
        )
    ranked = sorted(pairs, key=lambda p: hashlib.sha256(p.name.encode()).hexdigest())
    if len(ranked) < 2:
        return tuple(ranked), tuple(ranked)
    limit = format(int(HELD_OUT_SHARE * 256), "02x")
    held = [p for p in ranked if hashlib.sha256(p.name.encode()).hexdigest()[:2] < limit]
    held = held or ranked[:1]
    kept = [p for p in ranked if p not in held] or ranked[-1:]
    return tuple(kept), tuple(held)


def held_out_words(pairs: tuple[Pair, ...], started: bool = False) -> str:
    """For the card: what the numbers of these pairs were measured on. ``started``: from weights
    of which nobody knows here what they were trained on."""
    known = STARTED_WORDS if started else ""
    _, held = split_pairs(pairs)
    lots = sorted({pair.lot for pair in held} - {""})
    if lots:
        return f"Held out: {len(held)} pictures, all those of the lots {', '.join(lots)}.{known}"
    return (
        f"Held out: {len(held)} pictures by name; their lots are not known, so that they may be of "
        f"lots that were trained on.{known}"
    )


def decode_mask(raw: NDArray[np.uint8], place: str) -> NDArray[np.uint8]:
    """(H, W) class indices from a label map or a colour mask, by thresholds, never by equality."""
    if raw.ndim == 2:
        top = int(raw.max(initial=0))
        if top > MASK_STEM:
            raise TrainingError(f"{place}: class {top} is outside the table (0, 1, 2)")
        return raw.copy()
    colours = raw[..., :3].astype(np.int16)
    high, low = colours.max(2), colours.min(2)
    lit = high >= 128
    white = lit & (2 * low >= high)
    green = lit & ~white & (colours[..., 1] == high)
    strange = int((lit & ~white & ~green).sum())
    if strange > STRANGE_SHARE * lit.size:
        raise TrainingError(
            f"{place}: {strange} pixels are neither black (background), white (suture) nor green "
            "(stem)"
        )
    mask = np.zeros(raw.shape[:2], np.uint8)
    mask[white] = MASK_SUTURE
    mask[green] = MASK_STEM
    return mask


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        image = decode_raw(read_bytes(path)).pixels
    except PictureError as error:
        raise TrainingError(f"{path}: cannot be read as a picture: {error.detail}") from error
    if image.dtype != np.uint8:
        raise TrainingError(f"{path}: {image.dtype} values, expected 8 bits a channel")
    return np.asarray(image, np.uint8)


def _round_if_black_corners(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The round field of view where all four corners are black, else the whole picture."""
    height, width = image.shape[:2]
    n = max(2, min(height, width) // 20)
    corners = (image[:n, :n], image[:n, -n:], image[-n:, :n], image[-n:, -n:])
    if any(int(c.max()) > 12 for c in corners):
        return np.ones((height, width), np.bool_)
    y = (np.arange(height) + 0.5) / (height / 2) - 1
    x = (np.arange(width) + 0.5) / (width / 2) - 1
    return np.asarray(x[None, :] ** 2 + y[:, None] ** 2 <= 1.0)


def _by_stem(folder: Path) -> dict[str, Path]:
    paths = picture_files.picture_files(folder, SUFFIXES)
    return {path.stem: path for path in paths}


def _raise(problems: list[str]) -> None:
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        tail = [f"... and {more} more"] if more > 0 else []
        raise TrainingError("\n".join(problems[:SHOWN_PROBLEMS] + tail))
