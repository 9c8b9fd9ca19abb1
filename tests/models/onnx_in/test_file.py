"""An ONNX network is the torch module that it was, and gives the standard's own numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from agent import config
from agent.ablation.engine import Engine, Tuning
from agent.models.errors import ModelError
from agent.models.fusing import fused
from agent.models.layers import layer_names
from agent.models.loaded import logits
from agent.models.loading import load_model
from agent.models.onnx_in import file
from agent.models.onnx_in.names import layer_labels
from agent.records import Rung
from tests.models.onnx_in.support import (
    SIDE,
    computed,
    convolutions,
    model,
    node,
    settings,
    tensor,
    written,
)
from tests.support.peers import needed

needed("onnx2torch", "onnx")
BATCHES = ("n", 1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


def same(made, path, **more):
    """The network gives the numbers of the standard's reference; returns it."""
    network = load_model(settings(written(made, path), **more))
    x = np.random.default_rng(1).random((2, 3, SIDE, SIDE), np.float32)
    expected = np.concatenate([computed(made, one[None]) for one in x])
    found = logits(network, torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5 * float(np.ptp(expected)))
    return network


def int64(*values):
    return np.array(values, np.int64)


HALVED = [node("AveragePool", "x", "h", kernel_shape=[2, 2], strides=[2, 2])]
FORMS = {
    "resized by factors": (
        [*HALVED, node("Resize", "h - f", "y", mode="linear")],
        {"f": np.array([1, 1, 2, 2], np.float32)},
    ),
    "resized to a size, corners aligned": (
        [
            *HALVED,
            node("Shape", "x", "s"),
            node("Slice", "s zero two", "nc"),
            node("Concat", "nc hw", "to", axis=0),
            node("Resize", "h - - to", "y", mode="linear",
                 coordinate_transformation_mode="align_corners"),
        ],
        {"zero": int64(0), "two": int64(2), "hw": int64(SIDE, SIDE)},
    ),
    "resized by the nearest": (
        [*HALVED, node("Resize", "h - f", "y", mode="nearest", nearest_mode="floor",
                       coordinate_transformation_mode="asymmetric")],
        {"f": np.array([1, 1, 2, 2], np.float32)},
    ),
    "reshaped by a computed shape": (
        [
            node("Shape", "x", "s"),
            node("Slice", "s zero two", "nc"),
            node("Concat", "nc one", "flat", axis=0),
            node("Reshape", "x flat", "f"),
            node("Softmax", "f", "p", axis=1),
            node("Reshape", "p s", "y"),
        ],
        {"zero": int64(0), "two": int64(2), "one": int64(-1)},
    ),
    "transposed convolution": (
        [*HALVED, node("ConvTranspose", "h w b", "y", strides=[2, 2])],
        {"w": tensor(3, 3, 2, 2), "b": tensor(3)},
    ),
    "batch normalisation, pad and pool": (
        [
            node("BatchNormalization", "x g b m v", "a", epsilon=1e-3),
            node("Pad", "a p", "e", mode="reflect"),
            node("MaxPool", "e", "y", kernel_shape=[3, 3]),
        ],
        {"g": tensor(3), "b": tensor(3), "m": tensor(3), "v": np.abs(tensor(3)) + 1,
         "p": int64(0, 0, 1, 1, 0, 0, 1, 1)},
    ),
    "dilated and grouped convolution, activations": (
        [
            node("Conv", "x w", "a", pads=[2, 2, 2, 2], dilations=[2, 2], group=3),
            node("HardSwish", "a", "b"),
            node("LeakyRelu", "b", "c", alpha=0.1),
            node("Clip", "c lo hi", "y"),
        ],
        {"w": tensor(3, 1, 3, 3), "lo": np.float32(-1), "hi": np.float32(6)},
    ),
    "a global pool beside the maps": (
        [
            node("GlobalAveragePool", "x", "g"),
            node("Conv", "g w", "s"),
            node("Sigmoid", "s", "t"),
            node("Mul", "x t", "y"),
        ],
        {"w": tensor(3, 3, 1, 1)},
    ),
    "copies of weights, and constants": (
        [
            node("Identity", "w", "v"),
            node("Conv", "x v", "a", pads=[1, 1, 1, 1]),
            node("Constant", "", "k", value_float=0.5),
            node("Mul", "a k", "y"),
        ],
        {"w": tensor(3, 3, 3, 3)},
    ),
    "parts of it": (
        [
            node("Slice", "x from to axes step", "a"),
            node("Slice", "x zero end last", "b"),
            node("ReduceMean", "b", "m", axes=[2, 3], keepdims=1),
            node("Resize", "a - f", "c", mode="linear"),
            node("Mul", "c m", "y"),
        ],
        {"from": int64(0, 1), "to": int64(2**62, -1), "axes": int64(2, -1), "step": int64(2, 2),
         "zero": int64(0), "end": int64(5), "last": int64(3),
         "f": np.array([1, 1, 2, 16 / 7], np.float32)},
    ),
    "normed over the channels": (
        [
            node("Transpose", "x", "t", perm=[0, 2, 3, 1]),
            node("LayerNormalization", "t g b", "l", axis=-1),
            node("Transpose", "l", "y", perm=[0, 3, 1, 2]),
        ],
        {"g": tensor(3), "b": tensor(3)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", FORMS)
def test_the_numbers_are_those_of_the_standard(path, name, batch):
    network = same(model(*FORMS[name], batch=batch), path)
    assert network.batchable is (batch == "n")
    if "constants" not in name:
        torch.fx.symbolic_trace(network.module)  # nothing in it depends on what is computed


LATER = {
    "resize": ([*HALVED, node("Resize", "h - f", "y", mode="linear", antialias=0)],
               {"f": np.array([1, 1, 2, 2], np.float32)}),
    "reduce": ([node("ReduceMean", "x axes", "m", keepdims=1), node("Sub", "x m", "y")],
               {"axes": int64(2, 3)}),
    "split": ([node("Split", "x", "a b c", axis=1, num_outputs=3),
               node("Concat", "c b a", "y", axis=1)], {}),
    "reshape": ([node("Reshape", "x to", "r", allowzero=1), node("Transpose", "r", "t",
                 perm=[0, 1, 3, 2]), node("Transpose", "t", "y", perm=[0, 1, 3, 2])],
                {"to": int64(-1, 3, SIDE, SIDE)}),
    "gelu": ([node("Gelu", "x", "y", approximate="tanh")], {}),
    "mish": ([node("Mish", "x", "y")], {}),
}  # fmt: skip


@pytest.mark.parametrize("name", LATER)
def test_operators_of_later_opsets_are_taken_where_they_say_nothing_new(path, name):
    same(model(*LATER[name], opset=20), path)


@pytest.mark.parametrize(
    ("nodes", "tensors", "says"),
    [
        (
            [*HALVED, node("Resize", "h - f", "y", "up", mode="linear", antialias=1)],
            {"f": np.array([1, 1, 2, 2], np.float32)},
            "Resize up: antialias 1, which it has only after opset 17",
        ),
        (
            [node("Pad", "x p - a", "y", "rim")],
            {"p": int64(1, 1), "a": int64(2)},
            "Pad rim: 4 inputs, which it has only after opset 17",
        ),
        (
            [*HALVED, node("Resize", "h - f", "y", "up", mode="nearest")],
            {"f": np.array([1, 1, 2, 2], np.float32)},
            "Resize up: mode nearest with coordinate_transformation_mode half_pixel has no form",
        ),
        (
            [*HALVED, node("Resize", "h - f", "y", "up", mode="linear",
                           coordinate_transformation_mode="asymmetric")],
            {"f": np.array([1, 1, 2, 2], np.float32)},
            "mode linear with coordinate_transformation_mode asymmetric has no form in torch",
        ),
        (
            [node("AveragePool", "x", "y", kernel_shape=[2, 2], auto_pad="SAME_UPPER")],
            {},
            "cannot be made a torch module: NotImplementedError",
        ),
    ],
)  # fmt: skip
def test_what_torch_would_compute_otherwise_is_refused_in_one_line(path, nodes, tensors, says):
    with pytest.raises(ModelError, match=says) as caught:
        load_model(settings(written(model(nodes, tensors, opset=18), path)))
    assert "\n" not in str(caught.value)


def test_names_of_tensors_that_are_those_of_nodes_do_not_mix(path):
    nodes, tensors = convolutions("x", "onnx_initializer_0", "initializers")
    same(model(nodes, tensors), path)


def test_one_of_several_outputs_goes_by_its_name(path):
    nodes, tensors = convolutions()
    made = model([*nodes, node("Split", "y", "low high rest", axis=1)], tensors,
                 outputs=("high", "y"))  # fmt: skip
    network = load_model(settings(written(made, path), output_key="y"))
    expected = computed(model(nodes, tensors), np.zeros((1, 3, SIDE, SIDE), np.float32))
    found = logits(network, torch.zeros(1, 3, SIDE, SIDE)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(ModelError, match="no output 'z'; the network returns: high, y"):
        load_model(settings(path, output_key="z"))


# --- layers --------------------------------------------------------------------------------------


def labels(*names: str) -> list[str]:
    return layer_labels(
        model([node("Relu", "x", f"y{i}", name) for i, name in enumerate(names)], {})
    )


def test_layers_have_the_names_of_the_modules_that_they_were(path):
    network = load_model(settings(written(model(*convolutions()), path)))
    x = torch.zeros(1, 3, SIDE, SIDE)
    assert layer_names(network.module, x) == ["body.conv", "body.act", "head"]


def test_a_list_of_modules_stands_in_a_name_once():
    assert labels("/encoder/layer4/layer4.1/relu/Relu") == ["encoder.layer4.1.relu"]


def test_operations_between_modules_and_several_of_one_have_names_of_their_own():
    assert labels("/up/Add", "/up/conv/Conv", "/act/Mul", "/act/Erf", "/Concat", "", "") == [
        "up.Add", "up.conv", "act__Mul", "act", "Concat", "Relu", "Relu_1",
    ]  # fmt: skip


def test_names_that_no_submodule_may_have_are_changed():
    assert labels("/forward/Relu", "/a b/é!/Relu", "training") == [
        "forward_",
        "a_b.é_",
        "training_",
    ]


def test_the_exporter_with_notes_of_its_own_gives_the_same_names():
    made = model([node("Relu", "x", "y", "node_relu_7")], {})
    note = "['', 'encoder', 'encoder.act', 'relu_7']"
    made.graph.node[0].metadata_props.add(key="pkg.torch.onnx.name_scopes", value=note)
    assert layer_labels(made) == ["encoder.act"]


def test_it_is_explained_as_the_module_that_it_was(path):
    nodes, tensors = convolutions()
    network = load_model(settings(written(model(nodes, tensors), path), layer="body.act"))
    assert fused(network) is not network
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1)).eval()
    state = dict(zip(plain.state_dict(), map(torch.from_numpy, tensors.values()), strict=True))
    plain.load_state_dict(state)
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    region = np.zeros((SIDE, SIDE), np.uint8)
    region[2:9, 3:12] = 1
    found = Engine(network, config.Ablation(classes=("suture",)), tuning=Tuning(batch=2)).explain(
        image, region=region, rung=Rung.EXACT
    )
    x, mask = torch.from_numpy(found.input)[None], torch.from_numpy(region == 1)
    with torch.no_grad():
        maps = plain[1](plain[0](x))

        def score(ablated: int | None) -> float:
            changed = maps.clone()
            if ablated is not None:
                changed[:, ablated] = 0
            z = plain[2](changed)[0].double()[:, mask]
            return float((z[1] - torch.logsumexp(z[[0, 2]], 0)).mean())

        expected = [score(None) - score(k) for k in range(4)]
    np.testing.assert_allclose(found.classes[0].deltas, expected, atol=1e-5)


# --- libraries -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ModuleNotFoundError("No module named 'onnx'", name="onnx"),
         r"read with onnx, which is not installed: pip install -c constraints\.txt 'pitwatch\[onn"),
        (RuntimeError("operator torchvision::nms does not exist"),
         r"operator torchvision::nms does not exist\): torchvision .* does not fit torch "),
    ],
)  # fmt: skip
def test_libraries_that_are_missing_or_do_not_fit_are_named(monkeypatch, error, says):
    def failing(_name):
        raise error

    monkeypatch.setattr(file.importlib, "import_module", failing)
    with pytest.raises(ModelError, match=says):
        file.OnnxFile(b"", "net.onnx")


def test_no_other_network_needs_them(weights, monkeypatch):
    def failing(name, *_):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(file.importlib, "import_module", failing)
    load_model(config.Model(path=weights, device="cpu"))
