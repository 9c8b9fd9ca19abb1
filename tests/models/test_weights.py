"""Weights come in as data, and every way in which a file can be wrong has its own message."""

from __future__ import annotations

import io
import pickle

import pytest
import torch
from safetensors.torch import save

from agent.models.errors import ModelError
from agent.models.weights import check_finite, read_file, read_state_dict


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


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_a_checkpoint_may_wrap_its_state_dict(net, wrapper):
    checkpoint = {"epoch": 12, wrapper: net.state_dict(), "optimizer": {"lr": 0.1, "state": {}}}
    assert same(read_state_dict(saved(checkpoint), "a.pt"), net.state_dict())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_data_parallel_and_compile_are_taken_off(net, prefix):
    state = {prefix + key: value for key, value in net.state_dict().items()}
    assert same(read_state_dict(saved({"state_dict": state}), "a.pth"), net.state_dict())


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


def test_integer_tensors_are_not_asked_to_be_finite():
    check_finite({"num_batches_tracked": torch.tensor(3)}, "a.pt")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ModelError, match=r"none\.pt: cannot be read: No such file"):
        read_file(tmp_path / "none.pt")
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        read_file(tmp_path)


def test_a_file_above_the_limit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.models.weights.FILE_LIMIT_BYTES", 10)
    path = tmp_path / "big.pt"
    path.write_bytes(b"x" * 11)
    with pytest.raises(ModelError, match="11 bytes, more than the 10 allowed"):
        read_file(path)
