"""Pictures and masks drawn from known geometry, and a network that reads them exactly."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch import nn

from agent.config import Head, Preprocessing
from agent.models.card import ModelCard
from agent.models.loaded import LoadedModel
from agent.records import Frame, MachineInfo
from agent.segmentation.reading import View

SKIN = (60, 110, 110)
SUTURE_BGR = (40, 40, 220)
STEM_BGR = (40, 220, 40)


def round_aperture(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    radius = min(width, height) / 2
    return np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) < radius


def bar(width: int, height: int, angle_deg: float, thick_px: float, offset_px=0.0, length_px=None):
    """(H, W) bool: a bar at ``angle_deg`` counter-clockwise, ``offset_px`` beside the centre."""
    y, x = np.mgrid[:height, :width]
    a = math.radians(angle_deg)
    dx, dy = x - (width - 1) / 2, y - (height - 1) / 2
    chosen = np.abs(dx * math.sin(a) + dy * math.cos(a) - offset_px) < thick_px / 2
    if length_px is not None:
        chosen &= np.abs(dx * math.cos(a) - dy * math.sin(a)) < length_px / 2
    return chosen


def disc(width: int, height: int, x_px: float, y_px: float, radius_px: float) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.hypot(x - x_px, y - y_px) < radius_px


def view(suture, stem=None, inside=None, scale=(1.0, 1.0), margin=4.0, probability=1.0) -> View:
    """A view of hard masks; margins and probabilities are the same everywhere."""
    mask = np.zeros(suture.shape, np.uint8)
    mask[suture] = 1
    if stem is not None:
        mask[stem] = 2
    return View(
        mask=mask,
        probability=np.full(mask.shape, probability, np.float32),
        margin=np.full(mask.shape, margin, np.float32),
        inside=inside,
        cells=mask.size if inside is None else int(np.count_nonzero(inside)),
        scale_x=scale[0],
        scale_y=scale[1],
    )


def on_grid(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """A boolean mask as a network's grid of another size would show it."""
    drawn = mask.astype(np.float32)
    return cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA) >= 0.5


def painted(suture=None, stem=None, size=(256, 256), skin=SKIN) -> np.ndarray:
    """(H, W, 3) BGR picture of a fruit with its suture and stem."""
    image = np.empty((*size, 3), np.uint8)
    image[:] = skin
    if suture is not None:
        image[suture] = SUTURE_BGR
    if stem is not None:
        image[stem] = STEM_BGR
    return image


class ColourNet(nn.Module):
    """Background 0, suture where red outweighs green, stem where green outweighs red."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.bias.copy_(torch.tensor([0.0, -3.0, -3.0]))
            self.conv.weight[1, :2, 0, 0] = torch.tensor([12.0, -12.0])
            self.conv.weight[2, :2, 0, 0] = torch.tensor([-12.0, 12.0])

    def forward(self, x):
        return self.conv(x)


def colour_model(module=None, confidence=None, size=(192, 192)) -> LoadedModel:
    return LoadedModel(
        module=(module or ColourNet()).eval().requires_grad_(False),
        name="colour",
        sha256="",
        classes=("background", "suture", "stem"),
        head=Head.LOGITS,
        preprocessing=Preprocessing(width_px=size[0], height_px=size[1]),
        layer=None,
        output_key=None,
        device=torch.device("cpu"),
        card=ModelCard(name="colour", confidence=confidence),
    )


def frame(image, aperture=None, camera="cam1", seq=0, machine=None) -> Frame:
    return Frame(
        lane=camera,
        frame_id=f"{camera}-{seq}",
        seq=seq,
        captured_utc_ms=1000 + seq,
        captured_mono=float(seq),
        image=image,
        aperture=aperture,
        machine=machine or MachineInfo(),
    )
