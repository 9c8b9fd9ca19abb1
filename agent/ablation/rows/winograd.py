"""Convolutions of 3x3 and 2x2 taps by minimal filtering: fewer multiplications, the same numbers.

An r x r convolution of an m x m tile of outputs reads n x n inputs, n = m + r - 1, and is

    Y = A [(G w G') * (B d B')] A'

where * multiplies element by element and sums over channels: n^2 products in place of m^2 r^2
(Winograd, Arithmetic Complexity of Computations, 1980; for networks Lavin and Gray, CVPR 2016). The
matrices are Cook and Toom's for the points 0, 1, -1 and infinity. More points would save more, but
cost digits: measured against float64 these forms err as much as a plain sum of products, one after
the other (3e-7 of the spread), 4 x 4 outputs of a 3x3 kernel three to five times as much. They are
not used. A library may sum in blocks: oneDNN with AVX-512 errs 1.6 to 2.7 times less than either.
There no tiles are used, since an explanation must not err more than plain re-runs of the model do.

What they are worth with AVX2, in processor time of all channels of a U-Net at 192 px: without them
32 features take 1.84 times as long, 8 features 1.08 times; a whole explanation of the shipped model
as long as with them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.rows.geometry import Index, Size, Stored, everything
from agent.ablation.rows.products import GATHER_FLOATS, onednn_is_faster, scratch
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """m outputs of r taps along one axis: ``data`` B (n, n), ``kernel`` G (n, r), ``out`` A
    (m, n)."""

    m: int
    r: int
    data: Matrix
    kernel: Matrix
    out: Matrix

    @property
    def n(self) -> int:
        return self.m + self.r - 1


def cook_toom(m: int, r: int, points: Sequence[float]) -> Form:
    """The form of m outputs and r taps from m + r - 2 finite points and infinity."""
    n = m + r - 1
    at = np.array(points, np.float64)
    data, kernel, out = np.zeros((n, n)), np.zeros((n, r)), np.zeros((m, n))
    for j, a in enumerate(at):
        others = np.delete(at, j)
        out[:, j] = a ** np.arange(m)
        kernel[j] = a ** np.arange(r) / np.prod(a - others)
        data[j, : n - 1] = np.poly(others)[::-1]
    out[-1, -1] = kernel[-1, -1] = 1
    data[-1] = np.poly(at)[::-1]
    return Form(m, r, data, kernel, out)


FORMS = (cook_toom(2, 2, (0, 1)), cook_toom(3, 2, (0, 1, -1)), cook_toom(2, 3, (0, 1, -1)))

# Nanoseconds on one core with AVX2, for choosing between ways; only their ratios matter.
NS_GATHERED = 0.25
"""A value gathered."""
NS_PRODUCT = 1 / 16
"""A multiplication and addition of large matrices."""
NS_TRANSFORM = 1 / 10
"""One of a transform, whose matrices are small."""
EXACT = 1.2
"""How many times the error of the library's own convolution that of tiles may be."""
WORTH = 0.9
"""Tiles are used where they are estimated to cost less than this share of the plain way."""


@dataclass(frozen=True, slots=True)
class Task:
    """A convolution with stride 1 on chosen ``pixels`` (P,) of a map of ``size``: output pixel
    (y, x) reads the ``taps`` x ``taps`` pixels from (y + first[0], x + first[1]) on of the rows
    ``source``, ``width`` channels each, and gives ``out`` channels."""

    pixels: Index
    size: Size
    taps: int
    first: Size
    source: Stored
    width: int
    out: int


@dataclass(frozen=True, slots=True)
class Cover:
    """``corners`` (T, 2): where the tiles of a form begin, so that every pixel lies in one."""

    form: Form
    corners: Index


def chosen(task: Task, plain_ns: float) -> Cover | None:
    """The cheapest cover of the pixels, None where the plain way, ``plain_ns`` an item, is."""
    best, limit = None, WORTH * plain_ns
    for form in FORMS:
        fewest = -(-task.pixels.size // form.m**2)
        if form.r != task.taps or fewest * _ns(form, task) >= limit:
            continue
        corners = _corners(task, form.m)
        cost = len(corners) * _ns(form, task)
        if cost < limit:
            best, limit = Cover(form, corners), cost
    return best


def gathered_ns(pixels: int, taps: int, width: int, out: int) -> float:
    """An estimate for rows that are gathered and multiplied, an item."""
    return pixels * taps * width * (NS_GATHERED + NS_PRODUCT * out)


def whole_ns(pixels: int, taps: int, width: int, out: int) -> float:
    """An estimate for a plain convolution of the whole map, an item."""
    return pixels * taps * width * NS_PRODUCT * out


def _ns(form: Form, task: Task) -> float:
    """A tile's share."""
    values, results = form.n**2, form.m**2
    reading = values * task.width * (NS_GATHERED + NS_TRANSFORM * values)
    writing = results * task.out * (2 * NS_GATHERED + NS_TRANSFORM * values)
    return reading + writing + values * task.width * task.out * NS_PRODUCT


def usable_for(like: Tensor) -> bool:
    """On a CPU, in float32, where the BLAS is as good as oneDNN: the products here are batched, and
    only the BLAS has those. And where tiles are as exact as the library."""
    return (
        like.device.type == "cpu"
        and like.dtype == torch.float32
        and not onednn_is_faster()
        and are_exact()
    )


@lru_cache(maxsize=1)
def are_exact() -> bool:
    """Whether tiles err no more than the library's own convolution does on this processor; tried
    once a process."""
    maps, weight = random_case(128, 24)
    tiles, library = errors(maps, weight, FORMS[-1])
    log_event(logger, logging.INFO, "ablation_tiles_tried", error=tiles, library=library)
    return tiles <= EXACT * library


def random_case(channels: int, side: int) -> tuple[Tensor, Tensor]:
    """(1, C, side, side) maps and (C, C, 3, 3) weights, the same every time."""
    source = torch.Generator().manual_seed(0)
    maps = torch.randn(1, channels, side, side, generator=source).relu_()
    return maps, torch.randn(channels, channels, 3, 3, generator=source)


def errors(maps: Tensor, weight: Tensor, form: Form) -> tuple[float, float]:
    """Of tiles and of the library's convolution, both padded by one, against float64: root mean
    square, relative to that of the outputs."""
    channels, height, width = maps.shape[1:]
    exact = F.conv2d(maps.double(), weight.double(), padding=1)
    everywhere = np.arange(height * width)
    task = Task(
        everywhere,
        (height, width),
        form.r,
        (-1, -1),
        everything((height, width)),
        channels,
        len(weight),
    )
    kernel = transformed(form, weight.permute(0, 2, 3, 1).flatten(1))
    rows = F.pad(maps[0].flatten(1).t(), (0, 0, 0, 1))
    tiled = Tiled(task, Cover(form, _corners(task, form.m)), 1, kernel)(rows).t()
    library = F.conv2d(maps, weight, padding=1)[0].flatten(1)
    wanted = exact[0].flatten(1)
    scale = float(wanted.norm())
    return float((tiled - wanted).norm()) / scale, float((library - wanted).norm()) / scale


def _corners(task: Task, m: int) -> Index:
    """Bands of m rows from the best of m starts; within a band from the left, without gaps."""
    height, width = task.size
    needed = np.zeros((height, width), np.bool_)
    needed.ravel()[task.pixels] = True
    found: list[list[tuple[int, int]]] = []
    for start in range(1 - m, 1):
        some: list[tuple[int, int]] = []
        for top in range(start, height, m):
            columns = np.flatnonzero(needed[max(0, top) : top + m].any(0)).tolist()
            end = -1
            for column in columns:
                if column >= end:
                    some.append((top, column))
                    end = column + m
        found.append(some)
    return np.array(min(found, key=len), np.int64).reshape(-1, 2)


def transformed(form: Form, weight: Tensor) -> Tensor:
    """(O, r * r * C) weights, C fastest -> (n * n, C, O), computed in float64."""
    out = weight.shape[0]
    kernels = weight.double().view(out, form.r**2, -1).permute(1, 2, 0)
    both = torch.from_numpy(np.kron(form.kernel, form.kernel)).to(kernels)
    found = both @ kernels.flatten(1)
    return found.view(form.n**2, *kernels.shape[1:]).to(weight.dtype).contiguous()


class Tiled:
    """A ``Task`` by a ``Cover`` for a batch of items; ``kernel`` as ``transformed`` gives it."""

    def __init__(self, task: Task, cover: Cover, batch: int, kernel: Tensor) -> None:
        form, corners, tiles = cover.form, cover.corners, len(cover.corners)
        self._form, self._kernel, self._task = form, kernel, task
        self._data = torch.from_numpy(np.kron(form.data, form.data)).to(kernel)
        self._out = torch.from_numpy(np.kron(form.out, form.out)).to(kernel)
        self._count = batch * tiles
        widest = max(task.width, task.out)
        self._at_once = max(1, min(self._count, GATHER_FLOATS // (form.n**2 * widest)))
        self._read = torch.from_numpy(_inputs(task, cover, batch)).to(kernel.device)
        place = _places(task, corners, form.m)
        items = np.arange(batch)[:, None]
        self._pick = torch.from_numpy(self._kept(items * tiles + place[0], place[1]))
        self._pick = self._pick.flatten().to(kernel.device)

    def _kept(self, tile: Index, inner: Index) -> Index:
        """The row of output ``inner`` of a ``tile``: chunk after chunk, each (m * m, tiles)."""
        chunk = tile // self._at_once
        width = np.minimum(self._at_once, self._count - chunk * self._at_once)
        before = chunk * self._at_once * self._form.m**2
        return np.asarray(before + inner * width + tile % self._at_once, np.int64)

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows of the source, (batch * places + 1, C), to (batch * P, O)."""
        values, results = self._form.n**2, self._form.m**2
        width, out = self._task.width, self._task.out
        found = rows.new_empty((self._count * results, out))
        for start in range(0, self._count, self._at_once):
            count = min(self._at_once, self._count - start)
            read = self._read[:, start : start + count].flatten()
            given = scratch(rows, "gathered", values * count, width)
            torch.index_select(rows, 0, read, out=given)
            data = scratch(rows, "data", values, count * width)
            torch.mm(self._data, given.view(values, -1), out=data)
            products = scratch(rows, "products", values * count, out).view(values, count, out)
            torch.bmm(data.view(values, count, width), self._kernel, out=products)
            part = found[start * results : (start + count) * results].view(results, -1)
            torch.mm(self._out, products.view(values, -1), out=part)
        return found.index_select(0, self._pick)


def _inputs(task: Task, cover: Cover, batch: int) -> NDArray[np.int32]:
    """(n * n, batch * T): the row that each input of each tile is; the row of zeros where it lies
    outside the picture, or is kept nowhere because nothing that is read depends on it."""
    n, corners, source = cover.form.n, cover.corners, task.source
    dy, dx = np.divmod(np.arange(n * n), n)
    row = corners[None, :, 0] + task.first[0] + dy[:, None]
    column = corners[None, :, 1] + task.first[1] + dx[:, None]
    height, width = source.size
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    place = np.where(inside, source.where[np.where(inside, row * width + column, 0)], -1)
    items = np.arange(batch)[None, :, None] * source.count
    rows = np.where(place[:, None] >= 0, place[:, None] + items, batch * source.count)
    return rows.reshape(n * n, -1).astype(np.int32)


def _places(task: Task, corners: Index, m: int) -> tuple[Index, Index]:
    """For each pixel its tile and which of the tile's m * m outputs it is."""
    height, width = task.size
    tile = np.full((height + 2 * m, width + 2 * m), -1, np.int64)
    inner = np.zeros_like(tile)
    for dy in range(m):
        for dx in range(m):
            at = (corners[:, 0] + m + dy, corners[:, 1] + m + dx)
            tile[at], inner[at] = np.arange(len(corners)), dy * m + dx
    row, column = np.divmod(task.pixels, width)
    at = (row + m, column + m)
    return tile[at], inner[at]
