"""Weights come in as data, and every way in which a file can be wrong has its own message."""

from __future__ import annotations

import io
import pickle

import pytest
import torch
from safetensors.torch import save

from agent.models.errors import ModelError
from agent.models.files import read_file
from agent.models.unet import unet_from_state_dict
from agent.models.weights import check_finite, read_state_dict


def saved(thing: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_safetensors_and_a_plain_state_dict_hold_the_same(net):
    state = net.state_dict()
    assert same(read_state_dict(save(state), "a.safetensors"), state)
    assert same(read_state_dict(saved(state), "a.pt"), state)


@pytest.mark.parametrize(
    "wrappers",
    [
        "state_dict",
        "model_state_dict",
        "model",
        "net",
        "ema",
        "ema module",
        "state_dict_ema",
        "state_dict model ema",
    ],
)
def test_a_checkpoint_may_wrap_its_state_dict(net, wrappers):
    checkpoint = net.state_dict()
    for wrapper in reversed(wrappers.split()):
        checkpoint = {"epoch": 12, wrapper: checkpoint, "optimizer": {"lr": 0.1, "state": {}}}
    assert same(read_state_dict(saved(checkpoint), "a.pt"), net.state_dict())


def test_an_average_of_the_weights_is_taken_only_where_nothing_else_is_there(net):
    average = {key: value * 2 for key, value in net.state_dict().items()}
    checkpoint = {"ema": average, "model": net.state_dict()}
    assert same(read_state_dict(saved(checkpoint), "a.pt"), net.state_dict())
    assert same(read_state_dict(saved({"ema": average, "model": {}}), "a.pt"), average)


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "module._orig_mod.", "model.net.", "_orig_mod.ema.module.model."],
)
def test_prefixes_of_data_parallel_and_compile_are_taken_off(net, prefix):
    state = {prefix + key: value for key, value in net.state_dict().items()}
    assert same(read_state_dict(saved({"state_dict": state}), "a.pth"), net.state_dict())


@pytest.mark.parametrize("prefix", ["", "model.", "_orig_mod."])
def test_an_averaged_model_of_torch_is_unwrapped(net, prefix):
    average = torch.optim.swa_utils.AveragedModel(net).state_dict()
    assert "n_averaged" in average
    state = {prefix + key: value for key, value in average.items()}
    assert same(read_state_dict(saved(state), "a.pt"), net.state_dict())


def test_layers_that_were_compiled_one_by_one_have_their_names(net):
    state = {key.replace(".", "._orig_mod.", 1): v for key, v in net.state_dict().items()}
    assert "bottleneck._orig_mod.bottleneckconv1.weight" in state
    assert same(read_state_dict(saved(state), "a.pt"), net.state_dict())


def test_names_stay_as_the_module_has_them_that_the_weights_are_for():
    own = {"model.conv.weight": torch.zeros(1), "model.conv.bias": torch.ones(1)}
    for prefix in ("", "module.", "model."):
        state = {prefix + key: value for key, value in own.items()}
        assert same(read_state_dict(saved(state), "a.pt", own), own)


def test_two_weights_that_would_have_one_name_are_refused():
    state = {"a._orig_mod.b": torch.zeros(1), "a.b": torch.ones(1)}
    with pytest.raises(ModelError, match=r"a\.pt: two weights have the same name"):
        read_state_dict(saved(state), "a.pt")


def test_a_prefix_that_only_some_keys_have_stays():
    state = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    assert set(read_state_dict(saved(state), "a.pt")) == {"module.a", "b"}


class Payload:
    """Unpickling this would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("make", [saved, pickle.dumps], ids=["torch.save", "pickle"])
def test_a_pickled_object_is_refused_and_its_code_never_runs(make, tmp_path):
    trap = tmp_path / "ran"
    with pytest.raises(ModelError, match=r"bad\.pt: refused: it holds pickled objects"):
        read_state_dict(make({"conv.weight": Payload(str(trap))}), "bad.pt")
    assert not trap.exists()


def test_a_whole_pickled_module_is_refused(net):
    with pytest.raises(ModelError, match="pickled objects"):
        read_state_dict(saved(net), "whole.pt")


@pytest.mark.parametrize("data", [b"", b"nonsense", b"PK\x03\x04 half a zip", b"\x80\x02}"])
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_an_unreadable_file_is_named(data, name):
    with pytest.raises(ModelError, match=name):
        read_state_dict(data, name)


def test_a_truncated_checkpoint_is_named(net):
    data = saved(net.state_dict())
    with pytest.raises(ModelError, match=r"cut\.pt"):
        read_state_dict(data[: len(data) // 2], "cut.pt")


def test_a_torchscript_file_under_a_weights_suffix_says_what_it_is(net):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 32, 32)), buffer)
    with pytest.raises(ModelError, match=r"a\.pt: a TorchScript or torch\.export program"):
        read_state_dict(buffer.getvalue(), "a.pt")


def test_what_is_no_state_dict_says_what_it_is():
    with pytest.raises(ModelError, match="expected a state dict, found Tensor"):
        read_state_dict(saved(torch.zeros(3)), "a.pt")
    with pytest.raises(ModelError, match="lr: a state dict holds named tensors, found float"):
        read_state_dict(saved({"lr": 0.1}), "a.pt")
    with pytest.raises(ModelError, match="holds no weights"):
        read_state_dict(saved({}), "a.pt")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_key(net, bad):
    state = net.state_dict()
    state["upconv2.bias"][1] = bad
    with pytest.raises(ModelError, match=r"a\.pt: upconv2\.bias: 1 of 16 values are NaN"):
        read_state_dict(saved(state), "a.pt")


QUANTIZED = torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (torch.zeros(2, dtype=torch.int8), "int8"),
        (torch.zeros(2, dtype=torch.uint8), "uint8"),
        (torch.zeros(2, dtype=torch.complex64), "complex64"),
        (torch.zeros(2).to(torch.float8_e4m3fn), "float8_e4m3fn"),
        (QUANTIZED, "qint8"),
        (torch.eye(2).to_sparse(), "sparse_coo float32"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_weights_that_are_no_plain_floating_point_are_refused_by_key(value, what):
    with pytest.raises(ModelError, match=rf"a\.pt: conv\.bias: {what} values: expected plain"):
        read_state_dict(saved({"conv.bias": value}), "a.pt")


def test_whole_numbers_in_the_place_of_weights_are_refused(net):
    state = {**net.state_dict(), "conv.bias": torch.zeros(3, dtype=torch.int64)}
    with pytest.raises(ModelError, match=r"conv\.bias: int64 values where the network has float32"):
        unet_from_state_dict(read_state_dict(saved(state), "a.pt"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_in_another_precision_are_brought_to_float32(net, dtype):
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in net.state_dict().items()}
    module = unet_from_state_dict(read_state_dict(saved(state), "a.pt"))
    assert {value.dtype for value in module.parameters()} == {torch.float32}


def test_a_flipped_byte_is_noticed_by_the_checksum_in_the_file(net):
    data = bytearray(saved(net.state_dict()))
    needle = net.state_dict()["bottleneck.bottleneckconv1.weight"].numpy().tobytes()[:64]
    data[data.index(needle) + 5] ^= 1
    with pytest.raises(ModelError, match=r"a\.pt: damaged: .*/data/\d+ does not fit its checksum"):
        read_state_dict(bytes(data), "a.pt")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "a Git LFS pointer",
        ),
        (b"\n <!DOCTYPE html><html><body>Sign in</body></html>", "a web page, not a model"),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "a web page, not a model"),
    ],
)
def test_what_stands_in_the_place_of_a_file_is_named(tmp_path, data, says):
    path = tmp_path / "peach.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=rf"peach\.safetensors: {says}"):
        read_file(path)


def test_integer_tensors_are_not_asked_to_be_finite():
    check_finite({"num_batches_tracked": torch.tensor(3)}, "a.pt")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ModelError, match=r"none\.pt: cannot be read: No such file"):
        read_file(tmp_path / "none.pt")
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        read_file(tmp_path)


def test_a_file_above_the_limit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.models.files.FILE_LIMIT_BYTES", 10)
    path = tmp_path / "big.pt"
    path.write_bytes(b"x" * 11)
    with pytest.raises(ModelError, match="11 bytes, more than the 10 allowed"):
        read_file(path)
