"""The built-in U-Net, key-compatible with mateuszbuda/brain-segmentation-pytorch.

Module and state-dict names and widths are those of that public network, so that checkpoints made
with it load here. Two things differ on purpose: ``forward`` returns logits (no sigmoid), and every
ReLU is a named module that never works in place, because an explanation keeps the tensor that
came out of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from agent.models.errors import ModelError
from agent.models.state_dicts import check_against

LEVELS = (1, 2, 3, 4)
SIZE_MULTIPLE = 16
"""Height and width of the input must be multiples of this: four poolings by two."""
KEYS_SHOWN = 5


def _block(in_channels: int, features: int, name: str) -> nn.Sequential:
    """Two 3x3 convolutions without bias, each followed by BatchNorm and ReLU."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index, width in ((1, in_channels), (2, features)):
        layers[f"{name}conv{index}"] = nn.Conv2d(width, features, 3, padding=1, bias=False)
        layers[f"{name}norm{index}"] = nn.BatchNorm2d(features)
        layers[f"{name}relu{index}"] = nn.ReLU(inplace=False)
    return nn.Sequential(layers)


class UNet(nn.Module):
    """(N, in_channels, h, w) float -> (N, out_channels, h, w) logits; h and w multiples of 16.

    ``init_features`` is the width of the first level; each of the next three doubles it, and the
    bottleneck doubles it once more. ``encoder4`` (8 x init_features channels, h/8 x w/8) feeds both
    the pooled bottleneck and the skip connection into ``decoder4``.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 3, init_features: int = 32):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.init_features = init_features
        widths = {level: init_features * 2 ** (level - 1) for level in (*LEVELS, 5)}
        for level in LEVELS:
            previous = in_channels if level == 1 else widths[level - 1]
            self.add_module(f"encoder{level}", _block(previous, widths[level], f"enc{level}"))
            self.add_module(f"pool{level}", nn.MaxPool2d(2, 2))
        self.add_module("bottleneck", _block(widths[4], widths[5], "bottleneck"))
        for level in reversed(LEVELS):
            up = nn.ConvTranspose2d(widths[level + 1], widths[level], 2, stride=2)
            self.add_module(f"upconv{level}", up)
            self.add_module(
                f"decoder{level}", _block(2 * widths[level], widths[level], f"dec{level}")
            )
        self.add_module("conv", nn.Conv2d(widths[1], out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the pictures; see the class for shapes."""
        skips: list[Tensor] = []
        for level in LEVELS:
            x = self.get_submodule(f"encoder{level}")(x)
            skips.append(x)
            x = self.get_submodule(f"pool{level}")(x)
        x = self.get_submodule("bottleneck")(x)
        for level in reversed(LEVELS):
            x = self.get_submodule(f"upconv{level}")(x)
            x = torch.cat((x, skips[level - 1]), dim=1)
            x = self.get_submodule(f"decoder{level}")(x)
        logits: Tensor = self.get_submodule("conv")(x)
        return logits


def unet_from_state_dict(state: Mapping[str, Tensor]) -> UNet:
    """The U-Net whose weights these are, in eval mode, on the CPU, in float32.

    Widths and channel counts are read off the weights. ``num_batches_tracked`` may be missing (it
    plays no part in inference). Raises ``ModelError`` naming the first keys that are missing, not
    known or of another shape.
    """
    first, last = state.get("encoder1.enc1conv1.weight"), state.get("conv.weight")
    with torch.device("meta"):
        if first is None or last is None or first.ndim != 4 or last.ndim != 4:
            expected = UNet().state_dict()
            raise ModelError(_other_architecture(state, expected))
        model = UNet(int(first.shape[1]), int(last.shape[0]), int(first.shape[0]))
    expected = model.state_dict()
    if any(key not in expected for key in state) or any(
        key not in state for key in expected if not key.endswith("num_batches_tracked")
    ):
        raise ModelError(_other_architecture(state, expected))
    for key, wanted in expected.items():
        found = state.get(key)
        if found is not None and found.shape != wanted.shape:
            raise ModelError(
                f"{key}: expected shape {tuple(wanted.shape)} for a U-Net of "
                f"{model.init_features} first features, found {tuple(found.shape)}"
            )
    check_against(state, expected)
    # ``to_empty`` would import sympy, which takes longer than all the rest of loading.
    own = {key: torch.empty(wanted.shape, dtype=wanted.dtype) for key, wanted in expected.items()}
    model.load_state_dict(own, assign=True)
    counters = {k: torch.zeros((), dtype=torch.long) for k in expected if k not in state}
    model.load_state_dict({**state, **counters})
    return model.eval().requires_grad_(False)


def _other_architecture(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    missing = [key for key in expected if key not in state and "num_batches" not in key]
    unknown = [key for key in state if key not in expected]
    return (
        "weights of another architecture than the built-in U-Net: "
        f"missing {_some(missing)}; not known {_some(unknown)}"
    )


def _some(keys: list[str]) -> str:
    if not keys:
        return "none"
    more = f" and {len(keys) - KEYS_SHOWN} more" if len(keys) > KEYS_SHOWN else ""
    return ", ".join(keys[:KEYS_SHOWN]) + more
