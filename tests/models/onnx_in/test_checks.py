"""An ONNX file is data, and what it may hold is settled before anything is built from it."""

from __future__ import annotations

import numpy as np
import pytest

from agent.models.errors import ModelError
from agent.models.files import sha256_of
from agent.models.loading import load_model
from agent.models.onnx_in import checks
from tests.models.onnx_in.support import (
    SIDE,
    convolutions,
    model,
    node,
    settings,
    tensor,
    written,
)
from tests.support.peers import needed, peer

needed("onnx2torch", "onnx")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


def outside(made, path, location="net.onnx.data", **more):
    """``w1`` of ``made`` in a file of its own."""
    data = made.graph.initializer[0].raw_data
    one = made.graph.initializer[0]
    one.ClearField("raw_data")
    one.data_location = peer("onnx").TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": 0, "length": len(data), **more}.items():
        if value is not None:
            one.external_data.add(key=key, value=str(value))
    (path.parent / "net.onnx.data").write_bytes(data)
    return written(made, path)


def refused(made, path, says, **more):
    with pytest.raises(ModelError, match=says) as caught:
        load_model(settings(written(made, path), **more))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_tensors_beside_the_file_are_read_and_are_part_of_its_sha256(path):
    plain = load_model(settings(written(model(*convolutions()), path.with_name("plain.onnx"))))
    outside(model(*convolutions()), path)
    model_file, tensors = path.read_bytes(), path.with_name("net.onnx.data").read_bytes()
    both = sha256_of(model_file + tensors)
    found = load_model(settings(path, sha256=both))
    assert found.sha256 == both
    weights, wanted = (
        [one for one in each.module.parameters() if one.ndim == 4] for each in (found, plain)
    )
    assert all((a == b).all() for a, b in zip(weights, wanted, strict=True))
    path.with_name("net.onnx.data").write_bytes(tensors[:-1] + b"?")
    with pytest.raises(ModelError, match=r"net\.onnx: sha256 is .* model\.sha256 says"):
        load_model(settings(path, sha256=both))


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "link", "sub/../../secret"])
def test_tensors_outside_of_the_folder_are_never_read(path, location, tmp_path):
    folder = tmp_path / "models"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"x" * 1000)
    (folder / "link").symlink_to(tmp_path / "secret")
    inner = folder / "net.onnx"
    outside(model(*convolutions()), inner, location)
    with pytest.raises(ModelError, match="outside of its folder"):
        load_model(settings(inner))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"location": "none.data"}, "none.data, which cannot be read: No such file"),
        ({"location": None}, "lies in another file, but not where"),
        ({"length": 10_000}, r"w1: bytes 0 to 10000 of net\.onnx\.data, which has 432"),
        ({"offset": -4}, "w1: bytes -4 to"),
        ({"offset": "x"}, "lies in another file, but not where"),
    ],
)
def test_tensors_that_are_not_where_they_are_said_to_be_are_named(path, more, says):
    outside(model(*convolutions()), path, **more)
    with pytest.raises(ModelError, match=says):
        load_model(settings(path))


def test_a_constant_in_another_file_is_refused(path):
    made = model([node("Constant", "", "k", value=peer("onnx").numpy_helper.from_array(tensor(1))),
                  node("Add", "x k", "y")], {})  # fmt: skip
    made.graph.node[0].attribute[0].t.data_location = peer("onnx").TensorProto.EXTERNAL
    refused(made, path, "Constant: a constant in another file")


def test_operators_of_other_domains_and_functions_are_refused(path):
    nodes, tensors = convolutions()
    nodes[1].domain = "com.microsoft"
    refused(model(nodes, tensors), path, r"operators of com\.microsoft: only those of the ONNX")
    made = model(*convolutions())
    made.functions.add(name="f", domain="own")
    refused(made, path, "holds functions of its own")


def test_an_operator_without_a_form_in_torch_is_named(path):
    refused(model([node("Det", "x", "a"), node("Hardmax", "x", "y")], {}), path,
            "no form in torch for: Det, Hardmax")  # fmt: skip


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x08\x09", b"PK\x03\x04 half a zip"])
def test_what_is_no_onnx_file_is_named(path, data):
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"net\.onnx: not an ONNX file"):
        load_model(settings(path))


def test_a_truncated_file_is_named(path):
    data = model(*convolutions()).SerializeToString()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"net\.onnx: not an ONNX file"):
        load_model(settings(path))


def test_sizes_beyond_a_cap_are_refused_before_anything_is_built(path, monkeypatch):
    bomb = model(
        [node("ConstantOfShape", "s", "c"), node("Add", "x c", "y")],
        {"s": np.array([1, 3, 100_000, 100_000], np.int64)},
    )
    refused(bomb, path, "c: 30000000000 values, more than the 536870912 allowed for one picture")
    made = model(*convolutions())
    made.graph.initializer[0].dims[:] = [4, 3, 3, 2**40]
    refused(made, path, "w1: a tensor of shape")
    monkeypatch.setattr(checks, "NODES_LIMIT", 2)
    refused(model(*convolutions()), path, "3 operations, more than the 2 allowed")
    monkeypatch.setattr(checks, "NODES_LIMIT", 3)
    monkeypatch.setattr(checks, "TENSORS_LIMIT_BYTES", 600)
    outside(model(*convolutions()), path)
    with pytest.raises(ModelError, match="more than the 600 bytes allowed"):
        load_model(settings(path))


def test_operations_that_do_not_fit_together_are_named(path):
    nodes, tensors = convolutions()
    refused(model(nodes, {**tensors, "w2": tensor(3, 5, 1, 1)}), path, r"net\.onnx: ")


def test_two_inputs_and_another_input_are_named(path):
    made = model(*convolutions())
    made.graph.input.add().CopyFrom(made.graph.input[0])
    made.graph.input[1].name = "z"
    refused(made, path, r"takes 2 inputs \(x, z\): expected one picture")
    made = model(*convolutions())
    made.graph.input[0].type.tensor_type.elem_type = peer("onnx").TensorProto.FLOAT16
    refused(made, path, "x: takes float16: expected float32")
    refused(model(*convolutions(), size=32), path, r"takes \(any, 3, 32, 32\), but the preproc")
    refused(model(*convolutions(), batch=4), path, "takes exactly 4 pictures at once")


def test_weights_among_the_inputs_are_no_inputs(path):
    """Files of old exporters list them there."""
    made = model(*convolutions())
    helper = peer("onnx").helper
    for one in made.graph.initializer:
        made.graph.input.append(helper.make_tensor_value_info(one.name, one.data_type, one.dims))
    assert load_model(settings(written(made, path))).batchable


def test_a_file_for_one_picture_is_fed_one_at_a_time(path):
    assert not load_model(settings(written(model(*convolutions(), batch=1), path))).batchable


@pytest.mark.parametrize("missing", ["classes", "head", "preprocessing"])
def test_what_the_file_cannot_say_has_to_be_declared(path, missing):
    given = settings(written(model(*convolutions()), path)).model_copy(update={missing: None})
    with pytest.raises(ModelError, match=rf"not known: set model\.{missing}"):
        load_model(given)


def test_values_that_are_not_finite_are_refused(path):
    nodes, tensors = convolutions()
    tensors["w1"][0, 0, 0, 0] = np.nan
    refused(model(nodes, tensors), path, "1 of 108 values are NaN or infinite")


def test_the_size_that_a_file_claims_of_what_is_inside_is_not_believed(path):
    made = model(*convolutions())
    helper = peer("onnx").helper
    made.graph.value_info.append(
        helper.make_tensor_value_info("a", peer("onnx").TensorProto.FLOAT, [1, 4, SIDE, 2**40])
    )
    load_model(settings(written(made, path)))
