"""What a run is said to take in operations, whichever operator the library has for it."""

import pytest
import torch

from agent.ablation.rows.convolution import convolved
from tests.benchmarks.roofline import gflop


@pytest.mark.parametrize("act", [None, torch.relu])
def test_a_convolution_counts_whether_it_has_a_function_or_not(act):
    x = torch.zeros(2, 16, 24, 24).contiguous(memory_format=torch.channels_last)
    weight = torch.zeros(8, 16, 3, 3)

    def run():
        return convolved(x, [weight], None, ((1, 1), (1, 1), (1, 1)), act)

    with torch.no_grad():
        found = gflop(run)
    assert found == pytest.approx(2 * (2 * 24 * 24) * (16 * 9) * 8 / 1e9)
