"""What all items of one picture share, computed once: skips, biases, and the unablated layer.

- What does not depend on the layer - skips, biases, what a skip adds to a convolution - is one
  constant map a picture.
- From the layer to the first non-linearity everything is linear, so ablating channel k changes a
  convolution's output by the convolution of channel k alone: W[:, k] * (b_k - A_k). The rest is the
  same for all channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from agent.ablation.rows import geometry
from agent.ablation.rows.operation import Channelwise, Operation
from agent.ablation.rows.values import Inputs, Value, channelwise, known, size_of
from agent.ablation.split.prepared import Prepared


@dataclass(slots=True)
class Shared:
    """One picture and the ``operations`` behind the layer: ``values`` for single channels or for
    whole maps.

    What the skips add to convolutions is the same for both and kept.
    """

    operations: Sequence[Operation]
    prepared: Prepared
    baseline: Tensor
    _skips: dict[int, Tensor] = field(default_factory=dict)

    def values(self, *, single: bool) -> list[Value]:
        """One value per operation. ``single``: each item changes one channel of the layer, known
        beforehand; otherwise each brings a whole layer of its own, (N, K, h, w), as rows."""
        activation = self.prepared.activation
        size = size_of(activation)
        if single:
            layer = channelwise(activation, self.baseline)
        else:
            layer = Value(size, stored=geometry.everything(size))
        inputs = Inputs(layer, self.prepared.constants, self._skips)
        found: list[Value] = []
        for place, operation in enumerate(self.operations):
            before = [found[source] for source in operation.sources]
            found.append(operation.value(place, before, inputs))
        return found


def changes(
    operations: Sequence[Operation], values: Sequence[Value], maps: Tensor
) -> dict[int, Tensor]:
    """What (N, K, h, w) outputs of the layer, of any kind, change at each operation up to the first
    that mixes channels: (N, C, h', w') beside the same of the picture as it is."""
    found: dict[int, Tensor] = {}
    for place, operation in enumerate(operations):
        if not values[place].channelwise:
            continue
        if isinstance(operation, Channelwise):
            given = [found.get(source, values[source].constant) for source in operation.sources]
            found[place] = operation.maps(*(known(one) for one in given))
        else:
            found[place] = maps
    return {place: whole - known(values[place].constant) for place, whole in found.items()}
