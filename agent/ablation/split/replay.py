"""A model run from a layer on by replaying what its modules gave before.

For models that no tracer can follow: of 23 networks of segmentation_models_pytorch, cut at the end
of their encoder, four (UNet++, MAnet, Segformer with two encoders). A channel's re-run at 192 px on
one thread then takes 466, 152, 131 and 31 ms, by a hook 525, 219, 234 and 52.

One plain forward records what every module gives that ends before the layer is reached; nothing
that ran before the layer can depend on it. For each item the model is run again, but those modules
hand out their records instead of computing, and the layer hands out the replaced maps. What the
model computes between modules is computed again. One item a pass: nobody knows what such a
``forward`` does with a batch (``apart``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_map

from agent.ablation.core.errors import AblationError
from agent.ablation.split.prepared import Prepared, copied, one_by_one
from agent.models.loaded import LoadedModel


class ReplaySplit:
    """``layer`` of a model; see the module's text. The model is left as it was after each call."""

    name = "replay"
    together = False

    def __init__(self, model: LoadedModel, layer: str) -> None:
        self._module = model.module
        self._layer = model.module.get_submodule(layer)
        if self._layer is model.module:
            raise AblationError("the whole model is no layer")

    def prefix(self, x: Tensor) -> Prepared:
        """Run the model once on (1, C, h, w) and keep the records."""
        recorder = _Recorder(self._layer)
        handles = []
        for part in self._module.modules():
            handles.append(part.register_forward_pre_hook(recorder.enter))
            handles.append(part.register_forward_hook(recorder.leave))
        try:
            self._module(x)
        finally:
            for handle in handles:
                handle.remove()
        if recorder.activation is None:
            raise AblationError("the layer is not reached")
        size = (int(x.shape[2]), int(x.shape[3]))
        return Prepared(recorder.activation, size, (x, *recorder.records))

    def suffix(self, batch: Tensor, prepared: Prepared) -> object:
        """(N, K, h, w) outputs of the layer to the model's raw output."""
        if len(batch) > 1:
            return one_by_one(self, batch, prepared)
        x, *records = prepared.constants
        outputs: dict[nn.Module, list[Any]] = {self._layer: [batch]}
        for module, output in records:
            outputs.setdefault(module, []).append(output)
        with _handing_out(outputs):
            return self._module(x)


class _Recorder:
    """Hooks of one forward: what each call of a module gave, copied. A module that ends takes the
    place of those that it called."""

    def __init__(self, layer: nn.Module) -> None:
        self.records: list[tuple[nn.Module, Any]] = []
        self.activation: Tensor | None = None
        self._layer = layer
        self._begun: list[int] = []

    def enter(self, _module: nn.Module, _inputs: Any) -> None:
        self._begun.append(len(self.records))

    def leave(self, module: nn.Module, _inputs: Any, output: Any) -> None:
        begun = self._begun.pop()
        if self.activation is not None:
            return
        del self.records[begun:]
        if module is self._layer:
            self.activation = output.clone()
        else:
            self.records.append((module, tree_map(copied, output)))


@contextmanager
def _handing_out(outputs: dict[nn.Module, list[Any]]) -> Iterator[None]:
    """The modules give these outputs, call by call, instead of computing; later calls compute."""
    before = {module: module.__dict__.get("forward") for module in outputs}
    for module, given in outputs.items():
        module.__dict__["forward"] = _giver(given, module.forward)
    try:
        yield
    finally:
        for module, forward in before.items():
            if forward is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = forward


def _giver(given: list[Any], forward: Callable[..., Any]) -> Callable[..., Any]:
    left = iter(given)

    def give(*arguments: Any, **named: Any) -> Any:
        try:
            return tree_map(copied, next(left))  # what follows may write to it
        except StopIteration:
            return forward(*arguments, **named)

    return give
