"""Pixel formats that can be read, by the names of the PFNC (Pixel Format Naming Convention)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """``bits`` of each value in use; more than 8 are in two bytes, the lower first. ``to_bgr``: the
    name of OpenCV's conversion without its ``COLOR_``; empty for BGR itself."""

    channels: int
    bits: int
    to_bgr: str


FORMATS: Mapping[str, PixelFormat] = {
    "Mono8": PixelFormat(1, 8, "GRAY2BGR"),
    "Mono10": PixelFormat(1, 10, "GRAY2BGR"),
    "Mono12": PixelFormat(1, 12, "GRAY2BGR"),
    # OpenCV's older names of these (BayerBG2BGR) begin at the second pixel of the second row.
    "BayerRG8": PixelFormat(1, 8, "BayerRGGB2BGR"),
    "BayerGR8": PixelFormat(1, 8, "BayerGRBG2BGR"),
    "BayerGB8": PixelFormat(1, 8, "BayerGBRG2BGR"),
    "BayerBG8": PixelFormat(1, 8, "BayerBGGR2BGR"),
    "RGB8": PixelFormat(3, 8, "RGB2BGR"),
    "BGR8": PixelFormat(3, 8, ""),
    "RGBa8": PixelFormat(4, 8, "RGBA2BGR"),
    "BGRa8": PixelFormat(4, 8, "BGRA2BGR"),
}
"""``canonical`` knows older names."""

_OLDER = {
    "RGB8Packed": "RGB8",
    "BGR8Packed": "BGR8",
    "RGBA8Packed": "RGBa8",
    "BGRA8Packed": "BGRa8",
}


def canonical(name: str) -> str:
    """The PFNC's name of a format that a camera calls by an older one."""
    return _OLDER.get(name, name)
