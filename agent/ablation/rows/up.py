"""Upsampling without overlap: a transposed convolution whose stride is its kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from agent.ablation.core.regions import Mask
from agent.ablation.rows import geometry
from agent.ablation.rows.elementwise import NOTHING_MODULES
from agent.ablation.rows.geometry import Boxes, Size
from agent.ablation.rows.graph import Reading
from agent.ablation.rows.operation import Layout, Operation, Step, Work, add_changes
from agent.ablation.rows.pairs import Pairs, Patched
from agent.ablation.rows.products import Chunks
from agent.ablation.rows.values import Inputs, Value, known
from agent.ablation.rows.windows import INTERPOLATE, interpolation
from agent.ablation.split.trace import CutError


@dataclass(frozen=True, slots=True, eq=False)
class Up(Operation):
    """``weight`` (I, O, factor, factor): each place becomes ``factor`` squared places. The bias is
    part of the constant."""

    weight: Tensor
    bias: Tensor | None
    factor: int

    @classmethod
    def lower(cls, reading: Reading, node: fx.Node, up: nn.ConvTranspose2d) -> None:
        factor = up.kernel_size[0]
        plain = up.groups == 1 and up.dilation == (1, 1)
        if not (
            plain
            and up.kernel_size == (factor, factor) == up.stride
            and up.padding == (0, 0) == up.output_padding
        ):
            raise CutError(f"{node.target}: a transposed convolution that overlaps")
        sources = (reading.single(node.args[0]),)
        reading.add(node, cls(sources, up.weight.shape[1], up.weight, up.bias, factor))

    def size(self, before: Sequence[Size]) -> Size:
        return before[0][0] * self.factor, before[0][1] * self.factor

    def value(self, place: int, before: Sequence[Value], inputs: Inputs) -> Value:
        source = before[0]
        constant = source.constant
        if constant is None:
            constant = self.weight.new_zeros((1, self.weight.shape[0], *source.size))
        grown = F.conv_transpose2d(constant, self.weight, self.bias, stride=self.factor)
        return Value(self.size([source.size]), grown, layered=source.layered)

    def read(self, need: Mask, size: Size) -> Mask:
        return geometry.before_up(need, self.factor)

    def reach(self, before: Sequence[Boxes]) -> Boxes:
        return before[0] * self.factor

    def not_patched(self) -> str | None:
        return "an upsampling that no convolution takes in"

    def patched(self, place: int, own: Pairs, run: Patched) -> Tensor:
        raise CutError("an upsampling that no convolution takes in")

    def step(self, place: int, layout: Layout) -> Step:
        weight = self.weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous()
        (before,) = self.sources
        if layout.values[before].channelwise:
            return self._single(place, layout, weight.t().contiguous())
        source = layout.stored(before)
        layout.values[place].stored = geometry.after_up(source, self.factor)
        chunks = Chunks(layout.batch * source.count + 1, 1, weight.shape[1])

        def step(work: Work) -> Tensor:
            rows = layout.padded(work, before)

            def fill(part: slice, _block: int, scratch: Tensor) -> None:
                some = rows[: chunks.rows][part]
                scratch[: len(some)] = some

            return chunks.product(weight, fill).view(-1, self.width)

        return step

    def _single(self, place: int, layout: Layout, weight: Tensor) -> Step:
        """One channel upsampled: its change at each place times its (factor^2 * O,) weights."""
        (before,) = self.sources
        source = geometry.kept(layout.need(before))
        change = known(layout.values[before].change)[:, layout.tensor(source.pixels)]
        change = F.pad(change, (0, 0, 0, 1))
        stored = layout.values[place].stored = geometry.after_up(source, self.factor)
        batch, count = layout.batch, source.count
        pixels = layout.tensor(np.maximum(geometry.inverse(stored), 0))

        def step(work: Work) -> Tensor:
            changed = torch.where(work.channels < 0, len(weight), work.channels)
            weights = weight.index_select(0, work.channels.clamp_min(0))
            rows = weight.new_zeros((batch * count + 1, weight.shape[1]))
            body = rows[:-1].view(batch, count, -1)
            torch.mul(change.index_select(0, changed)[:, :, None], weights[:, None, :], out=body)
            maps = work.changes.get(before)
            if maps is not None:
                grown = F.conv_transpose2d(maps, self.weight, None, self.factor)
                add_changes(body.view(batch, -1, self.width), grown, pixels)
            return rows.view(-1, self.width)

        return step


def interpolated(reading: Reading, node: fx.Node, _part: nn.Module | None) -> None:
    """``F.interpolate``: an upsampling that repeats pixels and that convolutions take in, or a sum
    of what is read."""
    factor = _repeats(reading, node)
    if factor is None or not _only_convolved(reading.half, node):
        reading.add(node, interpolation(reading, node))
        return
    source, like = reading.single(node.args[0]), reading.found.like
    width = reading.width(source)
    one = torch.eye(width, dtype=like.dtype, device=like.device)
    weight = one[:, :, None, None].expand(-1, -1, factor, factor).contiguous()
    reading.add(node, Up((source,), width, weight, None, factor))


def _repeats(reading: Reading, node: fx.Node) -> int | None:
    """By how much a nearest interpolation repeats each pixel, where that is a whole number."""
    mode = reading.arguments(node, INTERPOLATE).get("mode", "nearest")
    before, after = reading.found.size(node.args[0]), reading.found.size(node)
    factor = after[0] // before[0]
    same = after == (before[0] * factor, before[1] * factor)
    return factor if mode in ("nearest", "nearest-exact") and same and factor > 1 else None


def _only_convolved(half: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a map is read by convolutions alone that can take its upsampling in."""
    for user in node.users:
        part = half.get_submodule(str(user.target)) if user.op == "call_module" else None
        if isinstance(part, nn.Conv2d):
            taken = part.groups == 1 and part.stride == (1, 1) == part.dilation
        else:
            passed = user.target is torch.cat or isinstance(part, NOTHING_MODULES)
            taken = passed and _only_convolved(half, user)
        if not taken:
            return False
    return bool(node.users)
