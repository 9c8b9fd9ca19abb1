"""The network's own softmax outputs of each picture: what the tests to beat are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agent.models.fusing import fused
from agent.models.loaded import LoadedModel, as_logits
from agent.segmentation.field import Field, field_of_view


class SoftmaxTap:
    """Looks on at a network as it segments, one picture at a time."""

    def __init__(self) -> None:
        self._model: LoadedModel | None = None
        self._tap: _Tap | None = None
        self._field: Field | None = None

    def prepare(self, model: LoadedModel) -> LoadedModel:
        """The model's fast form, looked on at."""
        self._model = fast = fused(model)
        self._tap = _Tap(fast.module)
        return replace(fast, module=self._tap)

    def take(self, aperture: NDArray[np.bool_] | None) -> NDArray[np.float32]:
        """Of the newest picture: means over the aperture of the largest probability, the entropy in
        nats, and the probability of each class; NaN where the network was not shown it."""
        assert self._model is not None, "prepare() comes first"
        assert self._tap is not None, "prepare() comes first"
        output, self._tap.newest = self._tap.newest, None
        classes = len(self._model.classes)
        if output is None:
            return np.full(2 + classes, np.nan, np.float32)
        p = as_logits(self._model, output)[0].float().softmax(0)
        if self._field is None or not self._field.is_of(aperture):
            self._field = field_of_view(aperture, p.shape[2], p.shape[1])
        entropy = torch.special.entr(p).sum(0)
        planes = torch.cat((p.amax(0, keepdim=True), entropy[None], p)).cpu().numpy()
        return np.array([self._field.mean(plane) for plane in planes], np.float32)


class _Tap(nn.Module):
    """Hands its input on and remembers the output."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.newest: Tensor | None = None

    def forward(self, x: Tensor) -> object:
        self.newest = output = self.inner(x)
        return output

    def named_modules(self, *args: Any, **options: Any) -> Iterator[tuple[str, nn.Module]]:
        """By their names in the network itself: its plausibility is told by layers of that name.
        The parts of a script cannot be listened to, so they keep the names that nobody looks for.
        """
        if isinstance(self.inner, torch.jit.ScriptModule):
            yield from super().named_modules(*args, **options)
        else:
            yield from self.inner.named_modules(*args, **options)
