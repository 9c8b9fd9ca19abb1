"""What an operation is: everything that the executor asks of it, in one class.

The second half of a model is a list of operations, each reading others by their place in it. An
operation says what of its output all items share (``value``), which pixels it reads (``read``), how
far a change reaches (``reach``), and how its rows are computed, for all items of a pass (``step``)
or where patches changed something (``patched``). A class that lacks one of them cannot be made.

Rows are (items * places, channels), item after item. Every tap outside the picture reads one more
row, of zeros, at the end: who has such taps asks for it (``padded``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.core.regions import Mask
from agent.ablation.rows import geometry
from agent.ablation.rows.elementwise import Pointwise
from agent.ablation.rows.geometry import Boxes, Index, Size, Stored
from agent.ablation.rows.pairs import Pairs, Patched
from agent.ablation.rows.values import Inputs, Value, channelwise, known, size_of
from agent.ablation.split.trace import CutError


@dataclass(slots=True)
class Work:
    """One pass: the channel that each item changes (-1: none), and rows per operation.

    ``changes``: what the last items, which bring a whole layer of their own beside others that
    change one channel, change at the operations before the first that mixes channels:
    (n, C, h, w) each.
    """

    channels: Tensor
    rows: dict[int, Tensor]
    changes: dict[int, Tensor] = field(default_factory=dict)


Step = Callable[[Work], Tensor]
"""The rows of an operation in a pass, from those of its sources."""


@dataclass(frozen=True, slots=True)
class Source:
    """All of an operation's output on what is ``stored``, its constant and its change included;
    with the row of zeros."""

    stored: Stored
    rows: Step


@dataclass(frozen=True, slots=True)
class Layout:
    """One picture laid out for passes of ``batch`` items: what is known of every operation, and
    which of its pixels (h, w) are read. ``like`` has the dtype and device of the maps."""

    values: Sequence[Value]
    needs: Sequence[Mask | None]
    batch: int
    like: Tensor

    def stored(self, place: int) -> Stored:
        stored = self.values[place].stored
        if stored is None:
            raise CutError("an operation on what does not depend on the layer")
        return stored

    def need(self, place: int) -> Mask:
        need = self.needs[place]
        assert need is not None
        return need

    def padded(self, work: Work, place: int) -> Tensor:
        return padded(work, place, self.batch * self.stored(place).count)

    def index(self, taps: Index, source: Stored) -> Tensor:
        return self.tensor(geometry.for_items(taps, source, self.batch))

    def tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.like.device)

    def order(self, source: Stored) -> Tensor | None:
        """Where the pixels of a whole map lie; None where in their own order."""
        if source.raster:
            return None
        return self.index(source.where[:, None], source).flatten()[:-1]

    def source(self, place: int) -> Source:
        """An operation as those read it that want the whole of its output."""
        value = self.values[place]
        if value.channelwise or value.stored is None:
            stored = geometry.kept(self.need(place))
            constant = self._constant(value, stored.pixels)
            return Source(stored, self._changed(place, stored, constant))
        if value.constant is None:
            return Source(value.stored, lambda work: self.padded(work, place))
        pixels = np.maximum(geometry.inverse(value.stored), 0)  # a place of no pixel: nobody reads
        return Source(value.stored, self._shifted(place, self._constant(value, pixels)))

    def _constant(self, value: Value, pixels: Index) -> Tensor:
        return known(value.constant).flatten(2)[0].t().index_select(0, self.tensor(pixels))

    def _changed(self, number: int, stored: Stored, constant: Tensor) -> Step:
        """The same for all items but for what each of them changes, if anything."""
        batch, count, value = self.batch, stored.count, self.values[number]
        rows = with_zero(constant.repeat(batch, 1))
        if not value.channelwise:
            return lambda _work: rows
        pixels = self.tensor(stored.pixels)
        change = known(value.change).index_select(1, pixels)

        def step(work: Work) -> Tensor:
            out = rows.clone()
            body = out[:-1].view(batch, count, -1)
            changed = work.channels.clamp_min(0)
            added = change.index_select(0, changed) * (work.channels >= 0)[:, None]
            place = changed.view(-1, 1, 1).expand(batch, count, 1)
            body.scatter_add_(2, place, added[..., None])
            if number in work.changes:
                add_changes(body, work.changes[number], pixels)
            return out

        return step

    def _shifted(self, place: int, constant: Tensor) -> Step:
        """Rows of an upsampled map: its bias has not been added yet."""
        batch = self.batch

        def step(work: Work) -> Tensor:
            rows = work.rows[place]
            out = rows.new_zeros((batch * len(constant) + 1, rows.shape[1]))
            body = rows[: batch * len(constant)].view(batch, len(constant), -1)
            torch.add(body, constant, out=out[:-1].view_as(body))
            return out

        return step


@dataclass(frozen=True, slots=True, eq=False)
class Operation(ABC):
    """``sources``: the places of what it reads; ``width``: the channels of its output."""

    sources: tuple[int, ...]
    width: int

    @abstractmethod
    def size(self, before: Sequence[Size]) -> Size:
        """Of its output, from those of its sources; ``CutError`` where they do not fit."""

    @abstractmethod
    def value(self, place: int, before: Sequence[Value], inputs: Inputs) -> Value:
        """What all items share of its output, where it stands at ``place``."""

    @abstractmethod
    def read(self, need: Mask, size: Size) -> Mask:
        """Which pixels of a source of ``size`` the needed ones of its output (h, w) read."""

    @abstractmethod
    def reach(self, before: Sequence[Boxes]) -> Boxes:
        """The rectangle of its output that a rectangle of each source changes; it may end outside
        the map."""

    @abstractmethod
    def step(self, place: int, layout: Layout) -> Step:
        """How its rows are computed. Sets ``stored`` of its value: where they lie."""

    @abstractmethod
    def patched(self, place: int, own: Pairs, run: Patched) -> Tensor:
        """(pairs, width): its rows for the pairs that are run again."""

    def reads(self, need: Mask, values: Sequence[Value]) -> Iterator[tuple[int, Mask]]:
        """The places whose rows it reads, with the pixels of each."""
        for source in self.sources:
            yield source, self.read_of(need, values[source].size)

    def read_of(self, need: Mask, size: Size) -> Mask:
        return np.ones(size, np.bool_) if need.all() else self.read(need, size)

    def with_act(self, act: Pointwise) -> Operation | None:
        """Itself and then an element-wise function, in one; None where it has no such form."""
        return None

    def not_patched(self) -> str | None:
        """Why patches cannot be run through it; None where they can."""
        return None

    def phases(self, values: Sequence[Value]) -> int:
        """Pixels whose row and column are alike modulo this are computed in one go."""
        return 1


@dataclass(frozen=True, slots=True, eq=False)
class Channelwise(Operation):
    """One that mixes no channels: what changes one channel of its sources changes that one alone.
    ``maps`` gives zeros for zeros, or what it gives is never read outside the picture."""

    @abstractmethod
    def maps(self, *maps: Tensor) -> Tensor:
        """What it does to whole maps (N, C, h, w), one of each source."""

    def value(self, place: int, before: Sequence[Value], inputs: Inputs) -> Value:
        size = self.size([value.size for value in before])
        known_before = all(value.channelwise or value.fixed for value in before)
        if not known_before or all(value.fixed for value in before):
            return Value(size)
        maps = [known(value.constant) for value in before]
        ends = [
            one if value.fixed else known(value.baseline).expand_as(one)
            for one, value in zip(maps, before, strict=True)
        ]
        return channelwise(self.maps(*maps), self.maps(*ends))


@dataclass(frozen=True, slots=True, eq=False)
class Pixelwise(Operation):
    """One that does the same to every pixel of its one source: its rows lie as those do."""

    @abstractmethod
    def of_rows(self, rows: Tensor) -> Tensor:
        """What it does to rows (R, C), new memory."""

    def size(self, before: Sequence[Size]) -> Size:
        return before[0]

    def read(self, need: Mask, size: Size) -> Mask:
        return need

    def reach(self, before: Sequence[Boxes]) -> Boxes:
        return before[0]

    def step(self, place: int, layout: Layout) -> Step:
        before = layout.source(self.sources[0])
        layout.values[place].stored = before.stored

        def step(work: Work) -> Tensor:
            out = self.of_rows(before.rows(work))
            out[-1].zero_()
            return out

        return step

    def patched(self, place: int, own: Pairs, run: Patched) -> Tensor:
        return self.of_rows(run.at(self.sources[0], own))


LAYER = -1


@dataclass(frozen=True, slots=True, eq=False)
class Input(Operation):
    """What a picture brings: constant ``index`` of the first half, or the ablated layer, the only
    one that differs between items (``LAYER``)."""

    index: int

    def size(self, before: Sequence[Size]) -> Size:
        raise CutError("an input has no source")

    def value(self, place: int, before: Sequence[Value], inputs: Inputs) -> Value:
        if self.index == LAYER:
            return inputs.layer
        constant = inputs.constants[self.index]
        assert isinstance(constant, Tensor)
        return Value(size_of(constant), constant, fixed=True)

    def read(self, need: Mask, size: Size) -> Mask:
        raise CutError("an input has no source")

    def reach(self, before: Sequence[Boxes]) -> Boxes:
        raise CutError("an input beside the picture")

    def step(self, place: int, layout: Layout) -> Step:
        raise CutError("the rows of an input are given")

    def patched(self, place: int, own: Pairs, run: Patched) -> Tensor:
        raise CutError("an input beside the picture")


def add_changes(body: Tensor, maps: Tensor, pixels: Tensor) -> None:
    """Add (n, O, h, w) at some ``pixels`` (P,) to the last n items of (batch, P, O)."""
    body[-len(maps) :] += maps.flatten(2).index_select(2, pixels).transpose(1, 2)


def padded(work: Work, place: int, count: int) -> Tensor:
    """The ``count`` rows of an operation and the one of zeros. It is added when it is first asked
    for: whole maps are read without it, and adding it copies them."""
    rows = work.rows[place]
    if len(rows) == count:
        rows = work.rows[place] = with_zero(rows)
    return rows


def with_zero(rows: Tensor) -> Tensor:
    """The rows and one of zeros."""
    return F.pad(rows, (0, 0, 0, 1))


def maps_of(rows: Tensor, stored: Stored, batch: int) -> Tensor:
    """Rows in the picture's own order as (N, C, h, w) in channels-last memory, a view."""
    body = rows[: batch * stored.count]
    return body.view(batch, *stored.size, rows.shape[1]).permute(0, 3, 1, 2)


def rows_of(maps: Tensor) -> Tensor:
    """(N, C, h, w) -> (N * h * w, C), a view of channels-last memory."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
