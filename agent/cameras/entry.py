"""One camera of a list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CameraEntry:
    """``url``: what a configuration names it by. ``access``: ``free``, ``in_use`` (``owner``: by
    whom, where that is known), ``unreachable``, or why it cannot be opened. What is not known is
    empty or 0; format, size and rate of a camera in use stay unknown."""

    url: str
    serial: str = ""
    user_name: str = ""
    model: str = ""
    address: str = ""
    access: str = ""
    owner: str = ""
    width_px: int = 0
    height_px: int = 0
    pixel_format: str = ""
    formats: tuple[str, ...] = ()
    fps: float = 0.0
