"""Which operators leave the items of a batch apart, and where the items are in what they give.

What has no rule here counts as mixing them. Operators that torch marks as pointwise need none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from agent.ablation.split.followed import ITEMS, Call, Followed, MixedError

Rule = Callable[[Call, Sequence[Tensor]], list[tuple[int, int] | None]]
"""Where the items of each output are, (axis, parts), None for one that has none; ``MixedError``."""


def rule_of(call: Call) -> Rule:
    """The rule of an operator; ``MixedError`` where it has none, or may not be used here."""
    tags = call.func.tags
    rule = RULES.get(call.name) or RULES.get(call.name.removesuffix("_"))
    if torch.Tag.nondeterministic_seeded in tags and rule is not _attention:
        raise MixedError("random numbers")
    if rule is None and torch.Tag.pointwise in tags:
        rule = _pointwise
    if rule is None and torch.Tag.data_dependent_output in tags:
        raise MixedError("a number is read off the maps, so that one item may decide for all")
    if rule is None:
        raise MixedError("nothing is known of it")
    if torch.Tag.inplace_view in tags:
        raise MixedError("changes a shape in place")
    written = [a.name for a in call.func._schema.arguments if a.is_write]
    if any(not isinstance(call.given.get(name), Followed) for name in written):
        raise MixedError("writes items to what is the same for all")
    return rule


def _kept(place: tuple[int, int], outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    """The same place in every output that is not empty; ``MixedError`` where one is too short."""
    axis, parts = place
    for one in outputs:
        if one.numel() and (axis >= one.ndim or one.shape[axis] != ITEMS * parts):
            raise MixedError("gives fewer values than items")
    return [place if one.numel() else None for one in outputs]


def _pointwise(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    """Every number by itself, shapes brought together from their last axis on."""
    rights = {(one.ndim - one.axis, one.parts) for one in call.followed}
    if len(rights) > 1:
        raise MixedError("joins tensors that have their items in different places")
    right, parts = rights.pop()
    call.same_for_all(-right)
    axis = max((one.ndim for one in outputs), default=0) - right
    return _kept((axis, parts), outputs)


def _first(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    """Items first, in the first tensor alone: convolutions, norms of each item."""
    one = call.one
    if one.axis != 0:
        raise MixedError("its items are not first")
    return _kept((0, one.parts), outputs)


def _batch_norm(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    if call.given.get("training", call.given.get("train", False)):
        raise MixedError("takes the statistics of the batch")
    return _first(call, outputs)


def _trailing(count: int) -> Rule:
    """Works on the last axes alone."""

    def rule(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
        one = call.one
        if one.axis >= one.ndim - count:
            raise MixedError("works along the axis of the items")
        return _kept((one.axis, one.parts), outputs)

    return rule


def _layer_norm(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    return _trailing(len(call.given["normalized_shape"]))(call, outputs)


def _pad(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    return _trailing(len(call.given["pad"]) // 2)(call, outputs)


def _along(name: str = "dim") -> Rule:
    """Works along axes that are named, which may vanish."""

    def rule(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
        one, dims = call.one, call.dims(name)
        if one.axis in dims:
            raise MixedError("works along the axis of the items")
        gone = one.ndim - outputs[0].ndim
        axis = one.axis - (sum(dim < one.axis for dim in dims) if gone > 0 else 0)
        return _kept((axis, one.parts), outputs)

    return rule


def _cut(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    """A slice of another axis, or the whole of that of the items."""
    one = call.one
    if one.axis in call.dims() and any(out.shape != one.shape for out in outputs):
        raise MixedError("takes some of the items")
    return _kept((one.axis, one.parts), outputs)


def _view(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    """Axes merged and split again; an item stays one run of numbers."""
    one, out = call.one, outputs[0]
    before = math.prod(one.shape[: one.axis])
    behind = one.parts * math.prod(one.shape[one.axis + 1 :])  # of one item, before each ``before``
    for axis in range(out.ndim):
        rest = math.prod(out.shape[axis + 1 :])
        parts, left = divmod(behind, max(rest, 1))
        same = math.prod(out.shape[:axis]) == before and not left
        if same and parts and out.shape[axis] == ITEMS * parts:
            return _kept((axis, parts), outputs)
    raise MixedError("merges items with other axes")


def _unsqueeze(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    one, out = call.one, outputs[0]
    return _kept((one.axis + (call.given["dim"] % out.ndim <= one.axis), one.parts), outputs)


def _squeeze(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    one = call.one
    named = call.dims() if "dim" in call.given else range(one.ndim)
    gone = sum(dim < one.axis and one.shape[dim] == 1 for dim in named)
    return _kept((one.axis - gone, one.parts), outputs)


def _permute(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    return _kept((call.dims("dims").index(call.one.axis), call.first.parts), outputs)


def _transpose(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    one = call.one
    dims = [call.given.get(name, place) % one.ndim for place, name in enumerate(("dim0", "dim1"))]
    axis = dims[1 - dims.index(one.axis)] if one.axis in dims else one.axis
    return _kept((axis, one.parts), outputs)


def _expand(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    one = call.one
    return _kept((one.axis + outputs[0].ndim - one.ndim, one.parts), outputs)


def _concatenated(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    one = call.alike()
    axis = one.axis
    if call.name == "stack":
        call.same_for_all(axis)
        return _kept((axis + (call.given["dim"] % (one.ndim + 1) <= axis), one.parts), outputs)
    if axis in call.dims():
        raise MixedError("puts items behind each other")
    call.same_for_all(axis)
    return _kept((axis, one.parts), outputs)


def _products(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    """Matrices (or batches of them) multiplied: items are a batch, or rows, or columns."""
    added = call.given.get("self") if call.name in ("addmm", "baddbmm") else None
    if isinstance(added, Followed):
        raise MixedError("adds what differs between items")
    left, right = (v for n, v in call.given.items() if n in _MATRICES[call.name])
    deep = outputs[0].ndim - 2
    if isinstance(left, Followed) and isinstance(right, Followed):
        if not deep or (left.axis, left.parts) != (0, right.parts) or right.axis != 0:
            raise MixedError("multiplies items by each other")
        axis = 0
    elif isinstance(left, Followed) and left.axis in range(deep + 1):
        axis = left.axis
    elif isinstance(right, Followed) and right.axis in (*range(deep), deep + 1):
        axis = right.axis
    else:
        raise MixedError("sums over items")
    call.same_for_all(axis)
    return _kept((axis, call.first.parts), outputs)


def _attention(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    one = call.alike()
    if one.axis != 0 or call.given.get("dropout_p", 0.0):
        raise MixedError("its items are not first, or some are left out at random")
    if any(not isinstance(call.given[name], Followed) for name in ("query", "key", "value")):
        raise MixedError("some of it is the same for all items")
    call.same_for_all(0)
    first, *rest = _kept((0, one.parts), outputs[:1])
    return [first, *rest, *([None] * (len(outputs) - 1))]


def _sampled(call: Call, outputs: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    one = call.alike()
    if one.axis != 0:
        raise MixedError("its items are not first")
    call.same_for_all(0)
    return _kept((0, one.parts), outputs)


_MATRICES = {
    "mm": ("self", "mat2"),
    "bmm": ("self", "mat2"),
    "addmm": ("mat1", "mat2"),
    "baddbmm": ("batch1", "batch2"),
}


def _named(rule: Rule, names: str) -> Iterable[tuple[str, Rule]]:
    return ((name, rule) for name in names.split())


RULES: Mapping[str, Rule] = dict(
    [
        *_named(_pointwise, "hardswish copy fill zero _to_copy clone detach alias lift_fresh celu"),
        *_named(_pointwise, "zeros_like ones_like full_like empty_like _prelu_kernel hardsigmoid"),
        *_named(_first, "convolution _convolution mkldnn_convolution cudnn_convolution"),
        *_named(_first, "native_group_norm im2col col2im _transformer_encoder_layer_fwd"),
        *_named(_batch_norm, "native_batch_norm cudnn_batch_norm _native_batch_norm_legit"),
        *_named(_batch_norm, "_native_batch_norm_legit_no_training _batch_norm_no_update"),
        *_named(_layer_norm, "native_layer_norm"),
        *_named(_trailing(2), "max_pool2d_with_indices avg_pool2d _adaptive_avg_pool2d"),
        *_named(_trailing(2), "adaptive_max_pool2d upsample_bilinear2d upsample_nearest2d"),
        *_named(_trailing(2), "upsample_bicubic2d _upsample_nearest_exact2d reflection_pad2d"),
        *_named(_trailing(2), "_upsample_bilinear2d_aa _upsample_bicubic2d_aa replication_pad2d"),
        *_named(_trailing(3), "pixel_shuffle pixel_unshuffle channel_shuffle"),
        *_named(_pad, "constant_pad_nd"),
        *_named(_along(), "sum mean amax amin max min argmax argmin var std var_mean logsumexp"),
        *_named(
            _along(), "any all prod linalg_vector_norm norm _softmax _log_softmax _safe_softmax"
        ),
        *_named(_along(), "cumsum cumprod sort topk glu select unbind"),
        *_named(_along("dims"), "flip roll"),
        *_named(_cut, "slice narrow split split_with_sizes"),
        *_named(_view, "view _unsafe_view reshape view_copy _reshape_alias"),
        *_named(_unsqueeze, "unsqueeze"),
        *_named(_squeeze, "squeeze"),
        *_named(_permute, "permute"),
        *_named(_transpose, "transpose t"),
        *_named(_expand, "expand"),
        *_named(_concatenated, "cat stack"),
        *_named(_products, "mm bmm addmm baddbmm"),
        *_named(_attention, "_scaled_dot_product_flash_attention_for_cpu"),
        *_named(_attention, "_scaled_dot_product_flash_attention"),
        *_named(_attention, "_scaled_dot_product_efficient_attention _native_multi_head_attention"),
        *_named(_sampled, "grid_sampler_2d"),
    ]
)
"""By the name of the operator, without the ``_`` of one that writes to its input."""
