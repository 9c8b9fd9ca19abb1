"""One pass or two: the same numbers, whatever the library has."""

import logging

import pytest
import torch
import torch.nn.functional as F

from agent.ablation.rows import convolution
from agent.ablation.rows.convolution import convolved

tried = convolution.is_the_same


@pytest.fixture(autouse=True)
def tried_anew():
    tried.cache_clear()
    yield
    tried.cache_clear()


def case():
    source = torch.Generator().manual_seed(3)
    x = torch.randn(2, 12, 9, 11, generator=source).contiguous(memory_format=torch.channels_last)
    return x, torch.randn(5, 12, 3, 3, generator=source), torch.randn(5, generator=source)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("blocks", [(12,), (5, 7), (4, 4, 4)])
@pytest.mark.parametrize("act", [None, torch.relu, torch.sigmoid])
def test_what_a_convolution_and_a_function_give(monkeypatch, fused, blocks, act):
    monkeypatch.setattr(convolution, "is_the_same", lambda: fused)
    x, weight, bias = case()
    options = ((2, 1), (1, 2), (1, 2))
    plain = F.conv2d(x, weight, bias, (2, 1), (1, 2), (1, 2))
    before = x.clone()
    with torch.no_grad():
        found = convolved(x, torch.split(weight, blocks, 1), bias, options, act)
    torch.testing.assert_close(found, plain if act is None else act(plain), rtol=1e-5, atol=1e-5)
    assert torch.equal(x, before)


def test_other_numbers_than_float32_take_two_passes():
    x, weight, bias = (t.double() for t in case())
    options = ((1, 1), (1, 1), (1, 1))
    with torch.no_grad():
        found = convolved(x, [weight], bias, options, torch.relu)
    assert torch.equal(found, F.conv2d(x, weight, bias, 1, 1).relu())


class Without:
    def __getattr__(self, name):
        raise AttributeError(f"no operation {name}")


def test_a_library_without_the_operations_is_named_and_done_without(monkeypatch, caplog):
    monkeypatch.setattr(convolution, "_library", Without)
    x, weight, bias = case()
    with caplog.at_level(logging.INFO), torch.no_grad():
        found = convolved(x, [weight], bias, ((1, 1), (1, 1), (1, 1)), torch.relu)
    assert torch.equal(found, F.conv2d(x, weight, bias, 1, 1).relu())
    assert "ablation_not_fused" in caplog.text
    assert "no operation _convolution_pointwise" in str(vars(caplog.records[-1]))


def test_a_library_that_gives_other_numbers_is_done_without(monkeypatch, caplog):
    right = convolution._first
    monkeypatch.setattr(convolution, "_first", lambda *given: right(*given) * 1.01)
    with caplog.at_level(logging.INFO):
        assert not convolution.is_the_same()
    assert "other numbers" in str(vars(caplog.records[-1]))
