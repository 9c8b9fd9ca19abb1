"""A model cut at a named layer: the first half once a picture, the second half once an item.

``fx`` traces the model and runs only what depends on the layer; ``export`` does so with the graph
of torch.export where torch.fx cannot follow; ``replay`` runs the whole model again, but for the
modules that ended before the layer; ``hook`` runs all of it again with the layer's output replaced,
which works for every module that calls the layer once. A way is used only after it agreed with hook
re-runs on a random picture and was no slower than they are. Whatever it raises leads to the next.

Several items go through a graph in one pass where they are proven to stay apart in it (``apart``);
everywhere else each has a pass of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from agent.ablation.core import timing
from agent.ablation.core.errors import AblationError
from agent.ablation.core.perturbation import NULL, Item, channel, replaced
from agent.ablation.core.tolerance import excess
from agent.ablation.split import trace
from agent.ablation.split.apart import why_mixed
from agent.ablation.split.left import LeftWays
from agent.ablation.split.prepared import Prepared, copied, one_by_one
from agent.ablation.split.replay import ReplaySplit
from agent.models.errors import ModelError, first_line
from agent.models.layers import check_layer, layer_names
from agent.models.loaded import LoadedModel, as_logits
from agent.models.replica import replica
from agent.telemetry import Clock, log_event

logger = logging.getLogger(__name__)

SLOW_PATH = "ablation_slow_path"


class Split(Protocol):
    """How a model is run from a layer on."""

    @property
    def name(self) -> str:
        """Which way this is, for the record."""

    @property
    def together(self) -> bool:
        """Whether the items of a batch run in one pass."""

    def prefix(self, x: Tensor) -> Prepared:
        """(1, C, h, w) input -> the layer's output and whatever else the second half needs."""

    def suffix(self, batch: Tensor, prepared: Prepared) -> object:
        """(N, K, h, w) outputs of the layer -> the model's raw output for N items."""


class HookSplit:
    """The whole model again, with a forward hook that hands out the replaced activations."""

    name = "hook"
    together = False

    def __init__(self, model: LoadedModel, layer: str) -> None:
        self._model = model
        self._module = model.module
        self._name = layer
        self._layer = model.module.get_submodule(layer)

    def prefix(self, x: Tensor) -> Prepared:
        seen: list[object] = []
        with self._hooked(lambda output: seen.append(copied(output))):
            self._module(x)
        if len(seen) != 1:
            raise AblationError(
                f"layer {self._name} is called {len(seen)} times in one forward; "
                "an ablation needs a layer that is called once"
            )
        activation = seen[0]
        if (
            not isinstance(activation, Tensor)
            or activation.ndim != 4
            or not activation.is_floating_point()
        ):
            raise AblationError(f"layer {self._name} gives {_kind(activation)}, not feature maps")
        return Prepared(activation, (x.shape[2], x.shape[3]), (x,))

    def suffix(self, batch: Tensor, prepared: Prepared) -> object:
        if len(batch) > 1:
            return one_by_one(self, batch, prepared)
        with self._hooked(lambda _output: batch.clone()):
            return self._module(prepared.constants[0])

    def rerun(self, x: Tensor, item: Item, baseline: Tensor) -> Tensor:
        """(1, classes, h, w) logits of the model for (1, C, h, w) input with one item replaced on
        the way."""
        with self._hooked(lambda output: replaced(output, baseline, [item])):
            return as_logits(self._model, self._module(x), (x.shape[2], x.shape[3]))

    @contextmanager
    def _hooked(self, replace: Any) -> Iterator[None]:
        handle = self._layer.register_forward_hook(lambda _m, _i, output: replace(output))
        try:
            yield
        finally:
            handle.remove()


class FxSplit:
    """The two halves of the traced graph; BatchNorm of the second is folded, channels last.

    ``after`` is the second: (batch, *constants) -> the model's raw output. ``mixed`` is why its
    items are not proven to stay apart, empty where they are.
    """

    def __init__(self, halves: trace.Halves, name: str = "fx") -> None:
        self.name, self.mixed = name, "it was not looked into"
        self._before = halves.before
        self.after = halves.after
        # Convolutions run faster in this memory.
        self.after.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def proven(self, example: Tensor) -> FxSplit:
        """Itself, having found out ``mixed``."""
        prepared = self.prefix(example)
        self.mixed = why_mixed(self.after, [prepared.activation], prepared.constants)
        return self

    @property
    def together(self) -> bool:
        return not self.mixed

    def prefix(self, x: Tensor) -> Prepared:
        activation, *constants = self._before(x)
        return Prepared(
            activation.clone(memory_format=torch.channels_last),
            (x.shape[2], x.shape[3]),
            tuple(_channels_last(value) for value in constants),
        )

    def suffix(self, batch: Tensor, prepared: Prepared) -> object:
        count = len(batch)
        if count > 1 and self.mixed:
            return one_by_one(self, batch, prepared)
        return self.after(batch, *(trace.expanded(value, count) for value in prepared.constants))


def watchable(model: LoadedModel, example: Tensor) -> LoadedModel:
    """The model itself, or for a TorchScript program, which takes no hooks, its replica.

    The replica must give the program's own logits for ``example``; ``AblationError`` otherwise.
    """
    if not isinstance(model.module, torch.jit.ScriptModule):
        return model
    try:
        same = replace(model, module=replica(model.module, model.name))
        found = as_logits(same, same.module(example))
    except ModelError as error:
        raise AblationError(str(error)) from error
    except Exception as error:  # the source of a program may raise anything outside its interpreter
        line = f"{type(error).__name__}: {first_line(error)}"
        raise AblationError(f"{model.name}: its layers cannot be named: {line}") from error
    expected = as_logits(model, model.module(example))
    if (off := excess(model.head, found, expected)) is not None:
        raise AblationError(
            f"{model.name}: its layers cannot be named: run by its source it differs from itself "
            f"by {off[0]:.3g}"
        )
    return same


def find_layer(model: LoadedModel, layer: str | None, example: Tensor) -> str:
    """The layer meant, checked; ``AblationError`` naming the candidates, the nearest first."""
    names = layer_names(model.module, example)
    wanted = layer or model.layer
    if wanted is None:
        raise AblationError(
            f"{model.name}: no layer is named and the model's card names none; "
            f"there are: {', '.join(names)}"
        )
    try:
        check_layer(wanted, names, model.name)
    except ModelError as error:
        raise AblationError(str(error)) from error
    return wanted


def build_split(
    model: LoadedModel,
    layer: str,
    example: Tensor,
    left: LeftWays | None = None,
) -> Split:
    """The first way that agrees with plain hook re-runs on ``example`` (1, C, h, w). ``left`` is
    told which were not used."""
    reference = HookSplit(model, layer)
    left = left or LeftWays()
    with torch.no_grad():
        _check_deterministic(model, example)
        reference.prefix(example)
        if not model.batchable:
            return reference
        for name, way in _ways(model, layer, example).items():
            why: str | Exception | None
            try:
                split = way()
                why = compare(model, split, reference, example)
            except Exception as error:  # noqa: BLE001 - a foreign forward may raise anything
                why = error
            if why is None:
                _say_mixed(split, layer)
                return split
            left.leave(name, why, event=SLOW_PATH, layer=layer)
    return reference


def _ways(model: LoadedModel, layer: str, example: Tensor) -> dict[str, Callable[[], Split]]:
    module, key = model.module, model.output_key
    return {
        "fx": lambda: FxSplit(trace.cut(module, layer, key)).proven(example),
        "export": lambda: FxSplit(trace.cut_exported(module, layer, key, example), "export").proven(
            example
        ),
        "replay": lambda: ReplaySplit(model, layer),
    }


def _say_mixed(split: Split, layer: str) -> None:
    if isinstance(split, FxSplit) and split.mixed:
        fields = {"layer": layer, "way": split.name, "reason": split.mixed}
        log_event(logger, logging.INFO, "ablation_one_by_one", **fields)


def no_slower(
    split: Split, plain: HookSplit, example: Tensor, left: LeftWays, clock: Clock
) -> Split:
    """``split``, or ``plain`` where a re-run of the whole model takes no longer for an item."""
    if split.name == plain.name:
        return split
    ours, theirs = split.prefix(example), plain.prefix(example)
    why = timing.slower(
        lambda: split.suffix(ours.activation.clone(), ours),
        lambda: plain.suffix(theirs.activation.clone(), theirs),
        example.device,
        clock,
        noise=1.0,
    )
    if why is None:
        return split
    left.leave(split.name, why, event=SLOW_PATH)
    return plain


def compare(model: LoadedModel, split: Split, reference: Split, example: Tensor) -> str | None:
    """Run a null item, a channel and a block of cells both ways; None when they agree.

    The batch goes through ``split`` twice: a second half that writes to its constants gives itself
    away in the second run. (It may write to the batch, which is always new.)
    """
    ours, theirs = split.prefix(example), reference.prefix(example)
    if ours.activation.shape != theirs.activation.shape:
        return f"activations of shape {tuple(ours.activation.shape)}"
    _, depth, height, width = theirs.activation.shape
    block = np.zeros((height, width), np.bool_)
    block[: (height + 1) // 2, : (width + 1) // 2] = True
    items = [NULL, channel(depth // 2), Item(cells=block)]
    baseline = torch.zeros_like(theirs.activation[:, :, :1, :1])
    batch = replaced(ours.activation, baseline, items)
    runs = [as_logits(model, split.suffix(batch.clone(), ours), ours.size) for _ in range(2)]
    batch = replaced(theirs.activation, baseline, items)
    for index in range(len(items)):
        output = reference.suffix(batch[index : index + 1], theirs)
        expected = as_logits(model, output, theirs.size)
        for run in runs:
            if (off := excess(model.head, run[index : index + 1], expected)) is not None:
                return f"item {index} differs by {off[0]:.3g}, allowed {off[1]:.3g}"
    return None


def _check_deterministic(model: LoadedModel, example: Tensor) -> None:
    first, second = (as_logits(model, model.module(example)) for _ in range(2))
    if not bool(torch.isfinite(first).all()):
        raise AblationError(f"{model.name}: logits that are not finite")
    if (off := excess(model.head, second, first)) is not None:
        raise AblationError(
            f"{model.name}: two runs on one picture differ by {off[0]:.3g}; "
            "a model that is not deterministic cannot be explained by differences"
        )


def check_mode(model: LoadedModel) -> None:
    """Refuse a module in train mode, BatchNorm alone included, naming the culprit."""
    for name, part in model.module.named_modules():
        if part.training:
            raise AblationError(f"{model.name}: {name or 'the model'} is in train mode")


def check_weights(model: LoadedModel) -> None:
    """Refuse weights that are not finite, naming the tensor."""
    for name, tensor in (*model.module.named_parameters(), *model.module.named_buffers()):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise AblationError(f"{model.name}: weights that are not finite in {name}")


def _channels_last(value: Any) -> Any:
    if isinstance(value, Tensor) and value.ndim == 4:
        return value.contiguous(memory_format=torch.channels_last)
    return value


def _kind(output: object) -> str:
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)} and dtype {output.dtype}"
    return f"a {type(output).__name__}"
