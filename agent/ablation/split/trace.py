"""Cutting a traced graph at one module: what comes before it, and what depends on it.

Whatever does not depend on the layer is computed once per picture. Skip tensors therefore enter the
second half as constants of batch one and are expanded to the batch, never copied.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from inspect import signature
from io import StringIO
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_unflatten

from agent.models.errors import first_line
from agent.models.fusing import fold_batchnorm


class CutError(Exception):
    """The graph cannot be cut at this layer; another way has to be taken."""


class _Tracer(fx.Tracer):
    """Traces like the default, but keeps the target layer whole, container or not."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        self._layer = layer

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        named = module_qualified_name == self._layer
        return named or bool(super().is_leaf_module(m, module_qualified_name))


@contextmanager
def unchanged(module: nn.Module) -> Iterator[None]:
    """What a ``forward`` keeps on its modules (a map to look at, a count of calls) is as before
    when a tracer has run it: it would be a proxy otherwise."""
    before = [(part, _attributes(part)) for part in module.modules()]
    try:
        yield
    finally:
        for part, (own, inside) in before:
            _restore(part.__dict__, own)
            for name, kept in inside.items():
                _restore(own[name], kept)


def _attributes(part: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    """Its attributes, and copies of those that are lists or dictionaries."""
    own = dict(part.__dict__)
    return own, {k: copy.copy(v) for k, v in own.items() if type(v) in (list, dict)}


def _restore(value: Any, kept: Any) -> None:
    """What is as it was is not touched: another thread may be reading it."""
    if isinstance(value, list):
        if len(value) != len(kept) or any(a is not b for a, b in zip(value, kept, strict=True)):
            value[:] = kept
        return
    for name in [name for name in value if name not in kept]:
        del value[name]
    for name, one in kept.items():
        if name not in value or value[name] is not one:
            value[name] = one


class Halves(NamedTuple):
    """``before(x)`` -> (layer's output, *constants); ``after(batch, *constants)`` -> output."""

    before: fx.GraphModule
    after: fx.GraphModule


def cut(module: nn.Module, layer: str, output_key: str | None) -> Halves:
    """Trace ``module`` and cut it at ``layer``; raises ``CutError`` where that cannot be done."""
    try:
        with unchanged(module):
            graph = _Tracer(layer).trace(module)
    except Exception as error:  # a foreign forward that meets a proxy may raise anything
        raise CutError(f"not traceable: {type(error).__name__}: {first_line(error)}") from error
    targets = [n for n in graph.nodes if n.op == "call_module" and n.target == layer]
    if len(targets) != 1:
        raise CutError(f"{layer} is called {len(targets)} times in the traced graph")
    output = next(node for node in graph.nodes if node.op == "output")
    return halves(module, graph, targets[0], (output.args[0], output_key))


def cut_exported(module: nn.Module, layer: str, output_key: str | None, example: Tensor) -> Halves:
    """Export ``module`` with two pictures like ``example`` (1, C, h, w) and cut the graph at
    ``layer``'s last operation.

    What ``torch.fx`` cannot follow, ``torch.export`` often can: it runs the module. Functions that
    it met are known by the module they were called in.
    """
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    several = any(p.kind is p.VAR_POSITIONAL for p in signature(module.forward).parameters.values())
    pair = torch.cat((example, example.flip(3)))
    try:
        # What cannot be exported is printed as a graph of a hundred lines beside the error.
        with unchanged(module), redirect_stderr(StringIO()):
            program = torch.export.export(
                module, (pair,), dynamic_shapes=((batch,),) if several else (batch,)
            )
    except Exception as error:  # the exporter and a foreign forward may raise anything
        raise CutError(f"not exportable: {type(error).__name__}: {first_line(error)}") from error
    flat = program.module(check_guards=False)
    assert isinstance(flat, fx.GraphModule)
    inside = [node for node in flat.graph.nodes if layer in _modules_around(node)]
    if not inside:
        raise CutError(f"{layer} has no operation in the exported graph")
    output = next(node for node in flat.graph.nodes if node.op == "output")
    spec = program.call_spec.out_spec
    assert spec is not None
    result = tree_unflatten(list(output.args[0]), spec)
    return halves(flat, flat.graph, inside[-1], (result, output_key))


def _modules_around(node: fx.Node) -> set[str]:
    """The modules that an exported operation was called in, by name."""
    return {name for name, _ in (node.meta.get("nn_module_stack") or {}).values()}


def halves(
    module: nn.Module, graph: fx.Graph, target: fx.Node, wanted: tuple[Any, str | None]
) -> Halves:
    """``graph`` of ``module`` cut after ``target``; ``wanted`` is its result and the key of it."""
    if sum(node.op == "placeholder" for node in graph.nodes) != 1:
        raise CutError("the network takes more than one input")
    dependent = _reached(list(target.users), lambda node: node.users)
    output = next(node for node in graph.nodes if node.op == "output")
    if output not in dependent:
        raise CutError("the network's output does not depend on the layer")
    result, output_key = wanted
    if isinstance(result, Mapping) and output_key in result:
        result = {output_key: result[output_key]}
    after_nodes = [n for n in graph.nodes if n in dependent and n is not output]
    if isinstance(result, Mapping):  # a second head of the network is left out
        needed = _reached(_nodes_in(result), lambda node: node.all_input_nodes)
        after_nodes = [node for node in after_nodes if node in needed]
    constants = _constants(after_nodes, result, target, dependent)
    before = _before(module, graph, target, constants, dependent)
    after = _after(module, after_nodes, target, constants, result)
    folded, _ = fold_batchnorm(after)
    if not isinstance(folded, fx.GraphModule):
        raise CutError("the second half is no graph once its norms are folded")
    return Halves(before, folded)


def _reached(
    open_nodes: list[fx.Node], onward: Callable[[fx.Node], Iterable[fx.Node]]
) -> set[fx.Node]:
    """These nodes, those ``onward`` of them, and so on."""
    found: set[fx.Node] = set()
    while open_nodes:
        node = open_nodes.pop()
        if node not in found:
            found.add(node)
            open_nodes.extend(onward(node))
    return found


def _nodes_in(value: Any) -> list[fx.Node]:
    found: list[fx.Node] = []
    fx.map_arg(value, found.append)
    return found


def _constants(
    nodes: list[fx.Node], result: Any, target: fx.Node, dependent: set[fx.Node]
) -> list[fx.Node]:
    """What the second half needs from the first, in a fixed order; weights are no such thing."""
    found: dict[fx.Node, None] = {}
    for source in [i for node in nodes for i in node.all_input_nodes] + _nodes_in(result):
        if source is not target and source not in dependent and source.op != "get_attr":
            found[source] = None
    return list(found)


def _before(
    module: nn.Module,
    graph: fx.Graph,
    target: fx.Node,
    constants: list[fx.Node],
    dependent: set[fx.Node],
) -> fx.GraphModule:
    out = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node not in dependent and node.op != "output":
            copies[node] = out.node_copy(node, copies.__getitem__)
    out.output((copies[target], *(copies[node] for node in constants)))
    return fx.GraphModule(module, out)


def _after(
    module: nn.Module,
    nodes: list[fx.Node],
    target: fx.Node,
    constants: list[fx.Node],
    result: Any,
) -> fx.GraphModule:
    out = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {target: out.placeholder("activation")}
    for index, node in enumerate(constants):
        copies[node] = out.placeholder(f"constant_{index}")

    def copied(node: fx.Node) -> fx.Node:
        if node not in copies:  # a weight of its own, read where it is used
            copies[node] = out.node_copy(node, copied)
        return copies[node]

    for node in nodes:
        copies[node] = out.node_copy(node, copied)
    out.output(fx.map_arg(result, copied))
    return fx.GraphModule(module, out)


def expanded(constant: Any, batch: int) -> Any:
    """A constant of batch one as a batch of views; anything else as it is."""
    if isinstance(constant, Tensor) and constant.ndim > 1 and constant.shape[0] == 1:
        return constant.expand(batch, *constant.shape[1:])
    return constant
