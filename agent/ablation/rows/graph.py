"""Reading a graph: what one run tells of its nodes, and the operations made of them so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, fx, nn

from agent.ablation.rows.geometry import Size
from agent.ablation.rows.operation import Operation
from agent.ablation.rows.values import size_of
from agent.ablation.split.prepared import Prepared
from agent.ablation.split.trace import CutError

CHANNELS_LAST, CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


class Found(fx.Interpreter):
    """One run of a graph: ``sizes`` (h, w) and ``channels`` of its maps, its ``weights``, and its
    ``numbers``, which are what is no tensor. ``like`` has the dtype and device of the maps."""

    def __init__(self, half: fx.GraphModule, prepared: Prepared) -> None:
        super().__init__(half)
        self.sizes: dict[fx.Node, Size] = {}
        self.channels: dict[fx.Node, int] = {}
        self.numbers: dict[fx.Node, Any] = {}
        self.weights: dict[fx.Node, Tensor] = {}
        self.like = prepared.activation
        try:
            self.run(prepared.activation.clone(), *prepared.constants)
        except Exception as error:  # a foreign graph may raise anything
            raise CutError(f"the graph does not run: {type(error).__name__}: {error}") from error

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if not isinstance(result, Tensor):
            self.numbers[n] = result
        elif n.op == "get_attr":
            self.weights[n] = result
        elif result.ndim == 4:
            self.sizes[n] = size_of(result)
            self.channels[n] = int(result.shape[1])
        return result

    def value(self, argument: Any) -> Any:
        """An argument with its numbers and weights in the place of nodes."""

        def known(node: fx.Node) -> Any:
            if node in self.weights:
                return self.weights[node]
            if node not in self.numbers:
                raise CutError(f"{node} is no number")
            return self.numbers[node]

        return fx.map_arg(argument, known)

    def size(self, node: Any) -> Size:
        if node not in self.sizes:
            raise CutError(f"{node} is no map")
        return self.sizes[node]


class Reading:
    """The operations of ``half`` so far, and where each node's are: one place, or for a
    concatenation several. A node of permuted maps has the place of what was permuted."""

    def __init__(self, half: fx.GraphModule, prepared: Prepared) -> None:
        self.half = half
        self.found = Found(half, prepared)
        self.operations: list[Operation] = []
        self._places: dict[fx.Node, tuple[int, ...]] = {}
        self._last: set[fx.Node] = set()

    def add(self, node: fx.Node, operation: Operation) -> None:
        self.operations.append(operation)
        self._places[node] = (len(self.operations) - 1,)

    def add_pixelwise(self, node: fx.Node, source: Any, operation: Operation) -> None:
        """One that does not care for the order of the axes: they lie as those of ``source`` do."""
        self.add(node, operation)
        if source in self._last:
            self._last.add(node)

    def fuse(self, node: fx.Node, source: int, operation: Operation) -> None:
        """What ``node`` does is done by ``operation`` in the place of ``source``."""
        self.operations[source] = operation
        self._places[node] = (source,)

    def same(self, node: fx.Node, *sources: Any) -> None:
        """``node`` is its sources, one after the other; those without a channel add nothing."""
        places = [place for source in sources for place in self.several(source)]
        self._places[node] = tuple(p for p in places if self.width(p) > 0) or tuple(places[:1])

    def permute(self, node: fx.Node, dims: tuple[int, ...]) -> None:
        """Maps with their channels last, (N, h, w, C), and back."""
        source = node.args[0]
        if dims != (CHANNELS_FIRST if source in self._last else CHANNELS_LAST):
            raise CutError(f"{node}: axes in an order that has no fast form")
        self._places[node] = (self.pixelwise(source),)
        if dims == CHANNELS_LAST:
            self._last.add(node)

    def last(self, node: Any) -> bool:
        """Whether a node's channels are its last axis."""
        return node in self._last

    def pixelwise(self, node: Any) -> int:
        """The place of a node, in whatever order its axes are."""
        places = self._places.get(node, ())
        if len(places) != 1:
            raise CutError(f"{node} is a concatenation, or no tensor of the graph")
        return places[0]

    def single(self, node: Any) -> int:
        if node in self._last:
            raise CutError(f"{node} has its channels last")
        return self.pixelwise(node)

    def several(self, node: Any) -> tuple[int, ...]:
        if node not in self._places or node in self._last:
            raise CutError(f"{node} is no tensor of the graph, or has its channels last")
        return self._places[node]

    def width(self, place: int) -> int:
        return self.operations[place].width

    def arguments(
        self, node: fx.Node, names: Sequence[str], part: nn.Module | None = None
    ) -> dict[str, Any]:
        """What the module ``part`` has by these names, or what a function is given behind its first
        argument in their order."""
        if part is not None:
            return {name: getattr(part, name) for name in names}
        given = dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)
        return dict(self.found.value(given))


Lowering = Callable[[Reading, fx.Node, Any], None]
"""Adds what a node does to a reading; the third is the module that it calls, None for a function.
``CutError`` for what has no fast form."""
