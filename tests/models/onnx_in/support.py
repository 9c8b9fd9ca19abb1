"""Small ONNX files, made for the tests of this folder; the libraries are the extra ``onnx``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent import config
from agent.config import Head, Preprocessing
from tests.support.peers import peer

SIDE = 16
CLASSES = ("background", "suture", "stem")

Made = tuple[Any, dict[str, NDArray[Any]]]
"""Nodes, and the tensors that they name."""


def settings(path: Path, **more: Any) -> config.Model:
    return config.Model(
        path=path,
        preprocessing=Preprocessing(width_px=SIDE, height_px=SIDE),
        device="cpu",
        **{"classes": CLASSES, "head": Head.LOGITS, **more},
    )


def tensor(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


def model(
    nodes: Sequence[Any],
    tensors: dict[str, NDArray[Any]],
    *,
    batch: int | str = "n",
    opset: int = 17,
    outputs: Sequence[str] = ("y",),
    size: int | str = SIDE,
) -> Any:
    """A ``ModelProto`` from ``x`` (batch, 3, size, size) to ``outputs``."""
    onnx = peer("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", kind, [batch, 3, size, size])],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def node(kind: str, inputs: str, outputs: str, name: str = "", **attributes: Any) -> Any:
    """``inputs`` and ``outputs`` are names with blanks between; ``-`` is one left out."""
    given = ["" if one == "-" else one for one in inputs.split()]
    return peer("onnx").helper.make_node(kind, given, outputs.split(), name=name, **attributes)


def convolutions(*names: str) -> Made:
    """Two convolutions with a ReLU between, as an exporter of torch names them."""
    first, relu, last = names or ("/body/conv/Conv", "/body/act/Relu", "/head/Conv")
    return [
        node("Conv", "x w1 b1", "a", first, pads=[1, 1, 1, 1]),
        node("Relu", "a", "b", relu),
        node("Conv", "b w2 b2", "y", last),
    ], {"w1": tensor(4, 3, 3, 3), "b1": tensor(4), "w2": tensor(3, 4, 1, 1), "b2": tensor(3)}


def written(made: Any, path: Path) -> Path:
    path.write_bytes(made.SerializeToString())
    return path


def computed(made: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the standard's own reference makes of ``x``."""
    reference = peer("onnx.reference").ReferenceEvaluator(made)
    return np.asarray(reference.run(None, {"x": x})[0], np.float32)
