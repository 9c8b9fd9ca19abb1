"""Whole maps by blocks of channels: the numbers of one convolution."""

import pytest
import torch
import torch.nn.functional as F

from agent.ablation.rows.convolution import convolved


@pytest.mark.parametrize("blocks", [(12,), (5, 7), (4, 4, 4)])
@pytest.mark.parametrize("act", [None, torch.relu, torch.sigmoid])
def test_what_a_convolution_and_a_function_give(blocks, act):
    source = torch.Generator().manual_seed(3)
    x = torch.randn(2, 12, 9, 11, generator=source).contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn(5, 12, 3, 3, generator=source), torch.randn(5, generator=source)
    options = ((2, 1), (1, 2), (1, 2))
    plain = F.conv2d(x, weight, bias, (2, 1), (1, 2), (1, 2))
    before = x.clone()
    with torch.no_grad():
        found = convolved(x, torch.split(weight, blocks, 1), bias, options, act)
    torch.testing.assert_close(found, plain if act is None else act(plain), rtol=1e-5, atol=1e-5)
    assert torch.equal(x, before)
