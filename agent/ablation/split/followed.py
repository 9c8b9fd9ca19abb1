"""A batch that is followed: each of its tensors knows which of its axes counts the items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

ITEMS = 11
"""Of the batch that is followed: a number that hardly occurs in the shapes of a network, or a view
to a fixed shape might take items for something else."""


class MixedError(Exception):
    """What keeps the items of a batch from being proven to stay apart."""


@dataclass(slots=True)
class Watch:
    """``run`` is told of every operator; ``reason`` is the first that was found, since foreign code
    may catch the error that carries it."""

    run: Callable[[Call, Any, Any], Any]
    reason: str = ""

    def mixed(self, reason: str) -> MixedError:
        self.reason = self.reason or reason
        return MixedError(reason)


class Followed(Tensor):
    """A tensor whose ``axis`` counts items, each of them ``parts`` times in a row (batch and heads
    of an attention merged, say); ``held`` has the numbers."""

    held: Tensor
    axis: int
    parts: int
    watch: Watch

    @staticmethod
    def __new__(cls, real: Tensor, axis: int, parts: int, watch: Watch) -> Followed:
        made = Tensor._make_wrapper_subclass(
            cls,
            real.size(),
            strides=real.stride(),
            storage_offset=real.storage_offset(),
            dtype=real.dtype,
            device=real.device,
        )
        made.held, made.axis, made.parts, made.watch = real, axis, parts, watch
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        call = Call(func, args, kwargs or {})
        return call.first.watch.run(call, args, kwargs or {})

    @property
    def length(self) -> int:
        return ITEMS * self.parts


class Call:
    """One operator with what it was given, by name; its outputs once it ran."""

    def __init__(self, func: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        self.func = func
        self.name = str(func._schema.name).removeprefix("aten::")
        declared = func._schema.arguments
        named = {a.name: value for a, value in zip(declared, args, strict=False)} | dict(kwargs)
        self.given = {a.name: named.get(a.name, a.default_value) for a in declared}
        flat = tree_flatten((args, kwargs))[0]
        self.followed: list[Followed] = [one for one in flat if isinstance(one, Followed)]
        self.plain = [
            one for one in flat if isinstance(one, Tensor) and not isinstance(one, Followed)
        ]
        self.first = self.followed[0]

    @property
    def one(self) -> Followed:
        """The only tensor that has items; it stands first."""
        first = next(iter(self.given.values()))
        if len(self.followed) != 1 or not isinstance(first, Followed):
            raise MixedError("works on several tensors that differ between items")
        return first

    def alike(self) -> Followed:
        """Any of several tensors that have their items in the same place."""
        if len({(one.axis, one.parts) for one in self.followed}) > 1:
            raise MixedError("joins tensors that have their items in different places")
        return self.first

    def same_for_all(self, axis: int) -> None:
        """Plain tensors as long as the items along an axis, below 0 from the last, must be the same
        for each of them."""
        for one in self.plain:
            if -one.ndim <= axis < one.ndim and one.shape[axis] == self.first.length:
                lines = one.movedim(axis, 0).reshape(ITEMS, -1)
                if not bool((lines == lines[:1]).all()):
                    raise MixedError("joins items with numbers that differ by their place")

    def dims(self, name: str = "dim") -> list[int]:
        """The axes that are named, counted from the first; ``MixedError`` where that means all."""
        given = self.given.get(name)
        found = [given] if isinstance(given, int) else given
        if not found:
            raise MixedError("works over all axes at once")
        return [dim % self.first.ndim for dim in found]
