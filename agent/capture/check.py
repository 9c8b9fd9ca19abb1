"""What can be known wrong of a camera before anything starts."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from agent.capture.source import SourceError
from agent.capture.sources.folder import list_pictures
from agent.capture.urls import opener_of, parse
from agent.config import Camera


def check_source(camera: Camera, schemes: Collection[str] = ("sim",)) -> None:
    """Raise ``SourceError`` for an unknown scheme, a missing file, an empty folder.

    ``schemes`` are those that the wiring brings beside capture's own. A network camera or a device
    that is away is no error here: it may come.
    """
    opener_of(camera.source, dict.fromkeys(schemes, ""))
    url = parse(camera.source)
    if url.scheme == "file" and Path(url.location).is_dir():
        list_pictures(Path(url.location))


def check_regions(camera: Camera, width_px: int, height_px: int) -> None:
    """Raise ``SourceError`` (permanent) naming the first lane whose region leaves the picture."""
    for lane in camera.effective_lanes():
        if lane.region is None:
            continue
        x, y, width, height = lane.region
        if x < 0 or y < 0 or x + width > width_px or y + height > height_px:
            detail = (
                f"lane {lane.name!r}: region {list(lane.region)} (x, y, width, height)"
                f" is not within the picture of {width_px} x {height_px}"
            )
            raise SourceError("region", detail, permanent=True)
