"""A small U-Net with seeded weights, on disk, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from agent.models.unet import UNet


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def net() -> UNet:
    """Eight first features, eval mode, BatchNorm statistics away from their start values."""
    torch.manual_seed(7)
    model = UNet(init_features=8)
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 2.0)
            torch.nn.init.normal_(part.weight, 1.0, 0.1)
            torch.nn.init.normal_(part.bias, 0.0, 0.1)
    return model.eval().requires_grad_(False)


@pytest.fixture
def weights(net: UNet, tmp_path: Path) -> Path:
    path = tmp_path / "peach.safetensors"
    save_file(net.state_dict(), path)
    return path
