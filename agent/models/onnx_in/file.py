"""An ONNX file as a torch module, by onnx2torch, whose layers have names.

The file is read and refused before anything is built (``checks``), its operators are brought to
forms that are known (``operators``, ``forms``), and the modules get the names that they had before
the network was exported (``names``).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import warnings
from collections.abc import Mapping, Sequence
from operator import getitem
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import fx, nn

from agent.config import Preprocessing
from agent.models.errors import ModelError, first_line
from agent.models.files import sha256_of
from agent.models.onnx_in import checks, forms
from agent.models.onnx_in.names import layer_labels
from agent.models.onnx_in.operators import (
    OPSET,
    check_operators,
    constants,
    lowered,
    without_copies,
)


class OnnxNetwork(NamedTuple):
    """``batchable``: whether it takes several pictures at once."""

    module: nn.Module
    batchable: bool


class OnnxFile:
    """A file that was read; a network is made of it once its input is known."""

    def __init__(self, data: bytes, path: Path) -> None:
        """``ModelError`` for what cannot be one, or where the libraries are not installed."""
        self._name = str(path)
        self._onnx = _library("onnx", self._name)
        self._model = checks.parsed(self._onnx, data, self._name)
        more = checks.tensor_files(self._onnx, self._model, path)
        self.sha256 = sha256_of(data, *more)

    def network(self, settings: Preprocessing) -> OnnxNetwork:
        """The module for pictures as ``settings`` make them, on the CPU, in eval mode."""
        name, lib = self._name, self._onnx
        converter = _library("onnx2torch", name)
        registry = _library("onnx2torch.node_converters.registry", name)
        batchable = checks.check_input(lib, self._model, settings, name)
        sizes = checks.sizes(lib, self._model, settings, name, (1, 2) if batchable else (1,))
        model = without_copies(lowered(lib, self._model, name))
        forms.add_to(registry, OPSET)
        check_operators(registry, model, name)
        checks.tell_shapes(model, sizes)
        arrays = constants(lib, model)
        fixed = [forms.known_form(node, arrays, sizes) for node in model.graph.node]
        labels = layer_labels(model)
        for index, node in enumerate(model.graph.node):
            node.name = f"~{index}"  # unlike any name of a tensor, which the converter mixes up
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = converter.convert(model)
            module = _network(made, model, labels, fixed)
        except Exception as error:  # the converter raises whatever a node makes it meet
            line = first_line(error)
            raise ModelError(
                f"{name}: cannot be made a torch module: {type(error).__name__}: {line}"
            ) from error
        return OnnxNetwork(module.eval(), batchable)


def _library(name: str, file: str) -> Any:
    try:
        found = importlib.import_module(name)
        if name == "onnx":
            importlib.import_module("onnx.shape_inference")
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{file}: an ONNX file is read with {error.name}, which is not installed: "
            "pip install -c constraints.txt 'pitwatch[onnx]'"
        ) from error
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        line = first_line(error)
        raise ModelError(
            f"{file}: an ONNX file is read with {name}, which cannot be imported ({line}): "
            f"torchvision {_version('torchvision')} does not fit torch {torch.__version__}: "
            "install both from the same index, CPU or CUDA"
        ) from error
    return found


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(none)"


def _network(
    made: fx.GraphModule, model: Any, labels: Sequence[str], fixed: Sequence[nn.Module | None]
) -> fx.GraphModule:
    """``made`` with the modules of its nodes under their labels, those ``fixed`` in the place of
    what was made, and the file's outputs: several as a dictionary by name."""
    root = nn.Module()
    if (tensors := getattr(made, "initializers", None)) is not None:
        root.add_module("initializers", tensors)
    calls = {str(node.target): node for node in made.graph.nodes if node.op == "call_module"}
    givers = {}
    for index, (node, label, form) in enumerate(zip(model.graph.node, labels, fixed, strict=True)):
        call = calls[f"~{index}"]
        if form is not None:
            call.args, call.kwargs = call.args[:1], {}
        call.target = _install(root, label, form or made.get_submodule(f"~{index}"))
        for place, value in enumerate(node.output):
            givers[value] = (call, place, len(node.output))
    _outputs(made.graph, [one.name for one in model.graph.output], givers)
    network = fx.GraphModule(root, made.graph)
    network.graph.eliminate_dead_code()
    network.recompile()
    network.delete_all_unused_submodules()
    return network


def _outputs(
    graph: fx.Graph, names: Sequence[str], givers: Mapping[str, tuple[fx.Node, int, int]]
) -> None:
    output = next(node for node in graph.nodes if node.op == "output")
    results: dict[str, Any] = {}
    with graph.inserting_before(output):
        for name in names:
            call, place, of = givers[name]
            results[name] = call if of == 1 else graph.call_function(getitem, (call, place))
    output.args = (results if len(results) > 1 else next(iter(results.values())),)


def _install(root: nn.Module, label: str, module: nn.Module) -> str:
    """Put ``module`` at ``label``, with an underscore more where the name is taken; the place."""
    *around, own = label.split(".")
    holder, path = root, []
    for part in around:
        if part not in holder._modules and hasattr(holder, part):
            part = f"{part}_"
        if part not in holder._modules:
            holder.add_module(part, nn.Module())
        holder = holder.get_submodule(part)
        path.append(part)
    while hasattr(holder, own):
        own = f"{own}_"
    holder.add_module(own, module)
    return ".".join((*path, own))
