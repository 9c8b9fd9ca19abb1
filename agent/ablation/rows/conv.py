"""A convolution over the concatenation of its sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from agent.ablation.core.regions import Mask
from agent.ablation.rows import geometry
from agent.ablation.rows.conv_steps import Added, Adder, Parts, Tiles, added
from agent.ablation.rows.convolution import applied
from agent.ablation.rows.elementwise import Pointwise
from agent.ablation.rows.gathering import gathered
from agent.ablation.rows.geometry import Boxes, Index, Size, Walk
from agent.ablation.rows.graph import Reading
from agent.ablation.rows.operation import Layout, Operation, Step, Work
from agent.ablation.rows.pairs import Pairs, Patched
from agent.ablation.rows.values import Inputs, Value, known
from agent.ablation.rows.weights import Merged, Slice, sliced
from agent.ablation.rows.windows import depthwise, pair
from agent.ablation.split.trace import CutError


@dataclass(frozen=True, slots=True, eq=False)
class Conv(Operation):
    """``weight`` (O, I, kh, kw) over the concatenation of its sources, then ``act`` if any;
    ``slices``: the weight by source, laid out. ``tiles``: what is made of it for tiles, once."""

    weight: Tensor
    bias: Tensor | None
    walk: Walk
    slices: tuple[Slice, ...]
    act: Pointwise | None = None
    tiles: Tiles = field(default_factory=dict)

    @classmethod
    def lower(cls, reading: Reading, node: fx.Node, conv: nn.Conv2d) -> None:
        if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
            raise CutError(f"{node.target}: unusually padded")
        if conv.groups == conv.in_channels == conv.out_channels > 1:
            reading.add(node, depthwise(reading, node, conv))
            return
        sources, weight = reading.several(node.args[0]), _ungrouped(conv)
        walk = (pair(conv.stride), pair(conv.padding), pair(conv.dilation))
        slices = sliced(weight, walk, sources, reading.operations)
        reading.add(node, cls(sources, len(weight), weight, conv.bias, walk, slices))

    def with_act(self, act: Pointwise) -> Operation | None:
        return replace(self, act=act) if self.act is None else None

    @property
    def kernel(self) -> Size:
        return int(self.weight.shape[2]), int(self.weight.shape[3])

    def size(self, before: Sequence[Size]) -> Size:
        return geometry.conv_size(before[0], self.kernel, *self.walk)

    def value(self, place: int, before: Sequence[Value], inputs: Inputs) -> Value:
        size = self.size([value.size for value in before])
        lasting = not any(value.layered for value in before)
        if lasting and place in inputs.skips:
            return Value(size, offset=inputs.skips[place])
        shared = [
            (value.constant, piece.dense)
            for value, piece in zip(before, self.slices, strict=True)
            if value.constant is not None
        ]
        if shared:
            # In the library's own blocks: channels last, it sums one value after the other.
            x = torch.cat([constant for constant, _ in shared], 1).contiguous()
            weight = torch.cat([w for _, w in shared], 1)
            offset = F.conv2d(x, weight, self.bias, *self.walk)
        else:
            wide = self.bias if self.bias is not None else self.weight.new_zeros(self.width)
            offset = wide.view(1, -1, 1, 1).expand(1, -1, *size)
        if lasting:
            inputs.skips[place] = offset
        return Value(size, offset=offset)

    def read(self, need: Mask, size: Size) -> Mask:
        return geometry.before_conv(need, size, self.kernel, *self.walk)

    def reads(self, need: Mask, values: Sequence[Value]) -> Iterator[tuple[int, Mask]]:
        """An upsampled map that the convolution takes in is never made: what is upsampled is."""
        for piece in self.slices:
            read, up = self.read_of(need, values[piece.source].size), _usable(piece, values)
            if up is None:
                yield piece.source, read
            else:
                yield up.source, geometry.before_up(read, up.factor)

    def reach(self, before: Sequence[Boxes]) -> Boxes:
        read = np.stack(before)
        first, last = read[..., :2].min(0), read[..., 2:].max(0)
        stride, padding, dilation = (np.array(one) for one in self.walk)
        span = dilation * (np.array(self.kernel) - 1)
        first = -((-(first + padding - span)) // stride)
        return np.concatenate((first, (last - 1 + padding) // stride + 1), axis=1)

    def phases(self, values: Sequence[Value]) -> int:
        ups = (_usable(piece, values) for piece in self.slices)
        return max((up.factor for up in ups if up is not None), default=1)

    def step(self, place: int, layout: Layout) -> Step:
        """Offset, plus each source's share, plus what single channels change; then the function."""
        value, batch, out = layout.values[place], layout.batch, self.width
        offset, value.offset = known(value.offset), None
        ups = [_usable(piece, layout.values) for piece in self.slices]
        stored = geometry.kept(layout.need(place))
        groups: list[Index] = []
        factor = next((up.factor for up in ups if up is not None), 1)
        if factor > 1 and not stored.raster:
            stored, groups = geometry.by_phase(stored, factor)
        value.stored = stored
        parts = Parts(self.walk, self.tiles, layout, stored)
        if ups == [None]:
            alone = parts.alone(self.slices[0], offset, self.act)
            if alone is not None:
                return alone
        count = stored.count
        constant = offset.flatten(2)[0].t().index_select(0, layout.tensor(stored.pixels))
        shares: list[Step] = []
        adders: list[Adder] = []
        singles: list[Added] = []
        for piece, up in zip(self.slices, ups, strict=True):
            source = layout.values[piece.source]
            if source.channelwise:
                singles.append(parts.single(source, piece))
            elif up is not None and stored.raster:
                shares.append(parts.whole_up(up))
            elif up is not None:
                adders.append(parts.phases(groups, up))
            elif source.stored is not None:
                shares.append(parts.share(source.stored, piece))
        if stored.raster and len(shares) == 1 and not adders and not singles:
            return self._in_place(shares[0], constant, batch)
        adders += [added(share) for share in shares]

        def step(work: Work) -> Tensor:
            rows = constant.new_empty((batch * count + 1, out))
            body = rows[:-1].view(batch, count, out)
            if not adders:
                body.copy_(constant)
            for number, part in enumerate(adders):
                part(work, body, body if number else constant)
            for single in singles:
                single(work, body)
            if self.act is torch.relu:
                rows[:-1].relu_()
            elif self.act is not None:
                rows[:-1].copy_(self.act(rows[:-1]))
            rows[-1].zero_()
            return rows

        return step

    def _in_place(self, share: Step, constant: Tensor, batch: int) -> Step:
        """Whole maps of one source: the rest is done to them where they lie."""
        count = len(constant)

        def step(work: Work) -> Tensor:
            rows = share(work)[: batch * count]
            rows.view(batch, count, -1).add_(constant)
            return applied(rows, self.act)

        return step

    def patched(self, place: int, own: Pairs, run: Patched) -> Tensor:
        """The pairs lie phase after phase where an upsampling is taken in."""
        out = run.offsets[place].index_select(0, run.tensor(own.pixel))
        size = run.values[place].size
        for piece in self.slices:
            up = _usable(piece, run.values)
            if up is None:
                before = run.values[piece.source].size
                near = geometry.conv_neighbours(before, size, self.kernel, *self.walk)
                index = run.taps(piece.source, own.item, near[own.pixel])
                out.add_(_products(run.rows[piece.source], index, piece.rows))
                continue
            before = run.values[up.source].size
            number = geometry.phase_of(own.pixel, size[1], up.factor)
            ends = np.searchsorted(number, np.arange(len(up.phases) + 1))
            for phase, start, stop in zip(up.phases, ends[:-1], ends[1:], strict=True):
                if start < stop:
                    near = geometry.phase_neighbours(before, size, up.factor, phase.taps)
                    some = slice(start, stop)
                    index = run.taps(up.source, own.item[some], near[own.pixel[some]])
                    out[some].add_(_products(run.rows[up.source], index, phase.rows))
        return out if self.act is None else self.act(out)


def _usable(piece: Slice, values: Sequence[Value]) -> Merged | None:
    """The merged form of a slice, unless what is upsampled differs in one channel only."""
    up = piece.merged
    return None if up is None or values[up.source].channelwise else up


def _products(rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    return gathered(index, rows.shape[1], weight)(rows)


def _ungrouped(conv: nn.Conv2d) -> Tensor:
    """(O, I, kh, kw): the weight of a grouped convolution with zeros between the groups."""
    weight, groups = conv.weight, conv.groups
    if groups == 1:
        return weight
    wide, out = weight.shape[1], weight.shape[0] // groups
    whole = weight.new_zeros((len(weight), conv.in_channels, *weight.shape[2:]))
    for group in range(groups):
        some = slice(group * out, (group + 1) * out)
        whole[some, group * wide : (group + 1) * wide] = weight[some]
    return whole
