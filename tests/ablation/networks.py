"""Networks small enough to work out by hand, and a random U-Net whose layers all matter."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agent.ablation.engine import Engine
from agent.config import Head, Preprocessing
from agent.models.card import ModelCard
from agent.models.checks import to_eval
from agent.models.loaded import LoadedModel
from agent.models.unet import UNet

CLASSES = ("background", "suture", "stem")
UNET_LAYER = "encoder4.enc4relu2"


def loaded(
    module: nn.Module,
    layer: str | None,
    size: int = 16,
    classes: tuple[str, ...] = CLASSES,
    head: Head = Head.LOGITS,
    output_key: str | None = None,
) -> LoadedModel:
    return LoadedModel(
        module=to_eval(module, "test"),
        name="test",
        sha256="0" * 64,
        classes=classes,
        head=head,
        preprocessing=Preprocessing(width_px=size, height_px=size),
        layer=layer,
        output_key=output_key,
        device=torch.device("cpu"),
        card=ModelCard(name="test"),
    )


def unet(size: int = 64, features: int = 8, seed: int = 0, out_channels: int = 3) -> LoadedModel:
    """Random weights at He's scale and random BatchNorm statistics: every channel counts."""
    torch.manual_seed(seed)
    module = UNet(3, out_channels, features)
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.normal_(part.bias, 0, 0.1)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, 0, 0.2)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.2)
    return loaded(module, UNET_LAYER, size, CLASSES[:out_channels])


class OneByOne(nn.Module):
    """A layer of K maps, then one 1x1 convolution: every delta is known in closed form."""

    def __init__(self, depth: int = 5, classes: int = 3):
        super().__init__()
        self.features = nn.Conv2d(3, depth, 3, padding=1)
        self.relu = nn.ReLU()
        self.head = nn.Conv2d(depth, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.features(x)))


class InPlace(nn.Module):
    """The non-linearity after the layer rewrites what the layer gave out."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.features(x)))


class Residual(nn.Module):
    """The skip past the layer is written to after the layer: a constant must survive that."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = self.stem(x)
        out = self.block(kept)
        return self.head(kept.add_(out))


class DataDependent(nn.Module):
    """Control flow on values: no tracer sees through it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.features(x).relu()
        if a.sum() < -1:
            a = -a
        return self.head(a)


class Twice(nn.Module):
    """One module called twice: which of its outputs would be ablated?"""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(self.features(x))


class LooksEverywhere(nn.Module):
    """Every pixel of the output reads every pixel of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.features(x).relu()
        return self.head(a * a.mean((2, 3), keepdim=True))


def only_way(engine: Engine) -> Engine:
    """The engine without the slower ways that it would take where its own fails."""
    engine._slower = ()
    return engine


def seeded(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with weights that depend on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return module.eval()


def picture(size: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    """(size, size, 3) uint8: smooth noise, so that activations vary over space."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (size // 4, size // 4, 3))
    return np.kron(coarse, np.ones((4, 4, 1))).astype(np.uint8)


def bar_and_disc(size: int = 64) -> NDArray[np.uint8]:
    """(size, size) uint8 class indices: a slanted bar of class 1 with a disc of class 2 on it."""
    y, x = np.mgrid[:size, :size] / size
    mask = np.zeros((size, size), np.uint8)
    mask[np.abs(0.2 * (x - 0.5) + (y - 0.5)) < 0.07] = 1
    mask[(x - 0.6) ** 2 + (y - 0.48) ** 2 < 0.012] = 2
    return mask
