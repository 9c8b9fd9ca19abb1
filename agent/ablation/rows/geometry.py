"""Which pixels of which map are needed for some pixels of the output, and where they are kept.

Maps are kept as rows: item after item, pixel after pixel, channels beside each other, and one row
of zeros at the end that stands for everything outside the picture.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.ablation.core.regions import Mask

Size = tuple[int, int]
Walk = tuple[Size, Size, Size]
"""How a convolution walks over its maps: stride, padding, dilation."""
Index = NDArray[np.int64]
Boxes = NDArray[np.int64]
"""(items, 4): a rectangle of a map each, (top, left, bottom, right), the last two excluded."""
Table = NDArray[np.int32]

TABLES_BYTES = 32 << 20
"""Tables of what is read that are kept, in a process: those of a U-Net at 192x192 take 5 MiB."""
DENSE_FROM = 0.55
"""From this share of needed pixels on, the whole map is computed: a plain convolution reads its
input once, gathered rows read it once per tap."""


@dataclass(frozen=True, slots=True)
class Stored:
    """``where`` (h * w,): place of each pixel within an item, -1 where it is not kept; ``count``
    places per item; ``raster`` when every pixel is kept in the picture's own order."""

    size: Size
    where: Index
    count: int
    raster: bool

    @property
    def pixels(self) -> Index:
        """The kept pixels, in the order of their places."""
        kept = np.flatnonzero(self.where >= 0)
        return kept[np.argsort(self.where[kept], kind="stable")]


def everything(size: Size) -> Stored:
    count = size[0] * size[1]
    return Stored(size, np.arange(count), count, raster=True)


def kept(need: Mask) -> Stored:
    """Storage for the needed pixels (h, w), or for all of them where most are needed."""
    size = (need.shape[0], need.shape[1])
    if need.mean() >= DENSE_FROM:
        return everything(size)
    chosen = np.flatnonzero(need)
    where = np.full(need.size, -1, np.int64)
    where[chosen] = np.arange(chosen.size)
    return Stored(size, where, int(chosen.size), raster=False)


def after_up(source: Stored, factor: int) -> Stored:
    """Where the pixels of an upsampled map lie: each place becomes ``factor`` squared places."""
    height, width = source.size[0] * factor, source.size[1] * factor
    row, column = np.divmod(np.arange(height * width), width)
    place = source.where[(row // factor) * source.size[1] + column // factor]
    inner = (row % factor) * factor + column % factor
    where = np.where(place >= 0, place * factor * factor + inner, -1)
    return Stored((height, width), where, source.count * factor * factor, raster=False)


def inverse(stored: Stored) -> Index:
    """(count,): the pixel at each place; -1 for a place that no pixel has."""
    out = np.full(stored.count, -1, np.int64)
    kept_pixels = np.flatnonzero(stored.where >= 0)
    out[stored.where[kept_pixels]] = kept_pixels
    return out


PLAIN: Size = (1, 1)


def conv_size(
    size: Size, kernel: Size, stride: Size, padding: Size, dilation: Size = PLAIN
) -> Size:
    height, width = (
        (size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i in range(2)
    )
    return height, width


def before_conv(
    need: Mask, size: Size, kernel: Size, stride: Size, padding: Size, dilation: Size = PLAIN
) -> Mask:
    """Pixels of a map of ``size`` that a convolution reads for the needed pixels of its output."""
    out = np.zeros(size, np.bool_)
    row, column = np.nonzero(need)
    for ky in range(kernel[0]):
        for kx in range(kernel[1]):
            r = row * stride[0] - padding[0] + ky * dilation[0]
            c = column * stride[1] - padding[1] + kx * dilation[1]
            inside = (r >= 0) & (r < size[0]) & (c >= 0) & (c < size[1])
            out[r[inside], c[inside]] = True
    return out


def before_up(need: Mask, factor: int) -> Mask:
    height, width = need.shape[0] // factor, need.shape[1] // factor
    blocks = need.reshape(height, factor, width, factor)
    return np.asarray(blocks.any(axis=(1, 3)), np.bool_)


def conv_taps(
    pixels: Index,
    out_width: int,
    source: Stored,
    kernel: Size,
    stride: Size,
    padding: Size,
    dilation: Size = PLAIN,
) -> Index:
    """(P, kh * kw): the place of what each output pixel reads per tap, -1 outside the picture."""
    row, column = np.divmod(pixels, out_width)
    ky, kx = np.divmod(np.arange(kernel[0] * kernel[1]), kernel[1])
    r = row[:, None] * stride[0] - padding[0] + ky * dilation[0]
    c = column[:, None] * stride[1] - padding[1] + kx * dilation[1]
    inside = (r >= 0) & (r < source.size[0]) & (c >= 0) & (c < source.size[1])
    flat = np.where(inside, r * source.size[1] + c, 0)
    return np.where(inside, source.where[flat], -1)


def phase_of(pixels: Index, width: int, factor: int) -> Index:
    """Of each pixel of a map so wide: its row and column modulo ``factor``, as one number."""
    row, column = np.divmod(pixels, width)
    return np.asarray((row % factor) * factor + column % factor, np.int64)


def by_phase(stored: Stored, factor: int) -> tuple[Stored, list[Index]]:
    """The same pixels with those of one phase (row and column modulo ``factor``) beside each other,
    and the pixels of each phase."""
    pixels = stored.pixels
    phase = phase_of(pixels, stored.size[1], factor)
    groups = [pixels[phase == number] for number in range(factor * factor)]
    where = np.full(stored.where.size, -1, np.int64)
    where[np.concatenate(groups)] = np.arange(pixels.size)
    return Stored(stored.size, where, stored.count, raster=False), groups


def phase_taps(
    pixels: Index, out_width: int, source: Stored, factor: int, taps: Sequence[Size]
) -> Index:
    """(P, taps): the places of what each pixel of one phase reads, -1 outside the picture."""
    row, column = np.divmod(pixels, out_width)
    r = (row // factor)[:, None] + np.array([dy for dy, _ in taps])
    c = (column // factor)[:, None] + np.array([dx for _, dx in taps])
    inside = (r >= 0) & (r < source.size[0]) & (c >= 0) & (c < source.size[1])
    flat = np.where(inside, r * source.size[1] + c, 0)
    return np.where(inside, source.where[flat], -1)


class Tables:
    """Tables by what they were made from, at most so many ``bytes`` of them: the one that was used
    the longest ago goes first, and one that is larger alone is not kept."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._kept: OrderedDict[object, Table] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, key: object, make: Callable[[], Table]) -> Table:
        """The table of ``key``, made where it is not kept; to be read only."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        table = make()
        table.setflags(write=False)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = table
                self.bytes += table.nbytes
            while self.bytes > self.most_bytes:
                self.bytes -= self._kept.popitem(last=False)[1].nbytes
        return table

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self.bytes = 0


tables = Tables(TABLES_BYTES)


def conv_neighbours(
    size: Size, out: Size, kernel: Size, stride: Size, padding: Size, dilation: Size = PLAIN
) -> Table:
    """(out pixels, taps): the pixel of a map of ``size`` that each output pixel reads, -1 outside.
    Kept, since nothing but the geometry decides it."""

    def make() -> Table:
        pixels = np.arange(out[0] * out[1])
        taps = conv_taps(pixels, out[1], everything(size), kernel, stride, padding, dilation)
        return taps.astype(np.int32)

    return tables.of((size, out, kernel, stride, padding, dilation), make)


def phase_neighbours(size: Size, out: Size, factor: int, taps: tuple[Size, ...]) -> Table:
    """The same for one phase of a merged upsampling, as if every pixel were of that phase."""

    def make() -> Table:
        pixels = np.arange(out[0] * out[1])
        return phase_taps(pixels, out[1], everything(size), factor, taps).astype(np.int32)

    return tables.of((size, out, factor, taps), make)


def for_items(taps: Index, source: Stored, items: int) -> NDArray[np.int32]:
    """(P, T) places within an item -> (items * P + 1, T) rows; the last output is all zeros.

    Outside the picture, and for the last output, the row of zeros is read.
    """
    count, width = taps.shape
    out = np.full((items * count + 1, width), items * source.count, np.int32)
    start = np.arange(items, dtype=np.int32)[:, None, None] * np.int32(source.count)
    inside = np.broadcast_to(taps >= 0, (items, count, width))
    rows = out[:-1].reshape(items, count, width)
    np.add(taps.astype(np.int32), start, out=rows, where=inside)
    return out
