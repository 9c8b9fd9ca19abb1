"""Whether the items of one batch stay apart on their way through a graph: proven, or not.

Several items a pass are faster, and wrong where one of them changes another: a mean or a maximum
over the batch, a number read off the maps that decides for all. One comparison of numbers shows
little, since such a branch may be taken for rare pictures alone. So a graph is run once with a
batch whose every tensor knows which of its axes counts the items, and each operator must be one of
which it is known that it leaves that axis alone (``rules``). What has no rule counts as mixing, and
is then run item by item. Only a graph of nothing but plain layers needs no run (``layerwise``).

A graph runs the same operators each time, so what holds of one run holds of all. A ``forward`` in
Python has no such proof, whatever it did in one run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_flatten, tree_map_only

from agent.ablation.split.followed import ITEMS, Call, Followed, MixedError, Watch
from agent.ablation.split.layerwise import is_layerwise
from agent.ablation.split.rules import rule_of
from agent.models.errors import first_line
from agent.models.loaded import LoadedModel


def why_not_together(model: LoadedModel, example: Tensor) -> str:
    """Why several pictures such as ``example`` (1, C, h, w) do not go through the whole ``model``
    in one pass; empty where they may."""
    if not model.batchable:
        return "it takes one picture a pass"
    if not isinstance(model.module, fx.GraphModule):
        return "its forward is not traceable, so what it does with a batch is not known"
    return why_mixed(model.module, [example], ())


def why_mixed(graph: Callable[..., object], batched: Sequence[Any], rest: Sequence[Any]) -> str:
    """Why the items of a batch are not proven to stay apart in ``graph(*batched, *rest)``; empty
    where they are.

    ``batched`` are tensors (1, ...) of one item, which become a batch of different ones; ``rest``
    is the same for all, and what of it is (1, ...) is expanded to the batch.
    """
    if is_layerwise(graph, batched, rest):
        return ""
    watch = Watch(_run)
    generator = torch.Generator().manual_seed(0)

    def several(one: Tensor) -> Followed:
        noise = torch.rand((ITEMS, *one.shape[1:]), generator=generator)
        return Followed(one * (0.5 + noise.to(one)), 0, 1, watch)

    def grown(value: Any) -> Any:
        if isinstance(value, Tensor) and value.ndim > 1 and value.shape[0] == 1:
            return Followed(value.expand(ITEMS, *value.shape[1:]), 0, 1, watch)
        return value

    try:
        with torch.no_grad():
            output = graph(*(several(one) for one in batched), *(grown(value) for value in rest))
        found = [leaf for leaf in tree_flatten(output)[0] if isinstance(leaf, Followed)]
    except Exception as error:  # noqa: BLE001 - no proof, whatever foreign code raised over it
        line = first_line(error)
        return watch.reason or f"{type(error).__name__}: {line}"
    if not watch.reason and not found:
        return "the output does not depend on the items"
    if not watch.reason and any((one.axis, one.parts) != (0, 1) for one in found):
        return "the output does not have the items first"
    return watch.reason


def _run(call: Call, args: Any, kwargs: Any) -> Any:
    watch = call.first.watch
    try:
        rule = rule_of(call)
        real_args, real_kwargs = tree_map_only(Followed, lambda one: one.held, (args, kwargs))
        result = call.func(*real_args, **real_kwargs)
        flat, _ = tree_flatten(result)
        places = iter(rule(call, flat))
    except MixedError as error:
        raise watch.mixed(f"{call.name}: {error}") from error
    by_memory = {id(one.held): one for one in call.followed}

    def wrapped(one: Tensor) -> Tensor:
        place = next(places)
        if id(one) in by_memory:  # what was written to
            return by_memory[id(one)]
        return one if place is None else Followed(one, *place, watch)

    return tree_map_only(Tensor, wrapped, result)
