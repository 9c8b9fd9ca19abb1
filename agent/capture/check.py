"""What can be known wrong of a camera before anything starts."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from agent.capture.source import SourceError
from agent.capture.sources.folder import list_pictures
from agent.capture.urls import opener_of, parse
from agent.config import Camera


def check_source(camera: Camera, schemes: Collection[str] = ("sim",)) -> None:
    """Raise ``SourceError`` for an unknown scheme, a missing file, an empty folder, a bad region.

    ``schemes`` are those that the wiring brings beside capture's own. A network camera or a device
    that is away is no error here: it may come.
    """
    opener_of(camera.source, dict.fromkeys(schemes, ""))
    url = parse(camera.source)
    if url.scheme == "file" and Path(url.location).is_dir():
        list_pictures(Path(url.location))
    if camera.width_px and camera.height_px:
        check_regions(camera, camera.width_px, camera.height_px)
    else:
        check_regions(camera, None, None)


def check_regions(camera: Camera, width_px: int | None, height_px: int | None) -> None:
    """Raise ``SourceError`` (permanent) naming the first lane whose region is not in the picture.

    With None for the size, only what is wrong in every picture is found.
    """
    for lane in camera.effective_lanes():
        if lane.region is None:
            continue
        x, y, width, height = lane.region
        right, bottom = x + width, y + height
        inside = x >= 0 and y >= 0 and width >= 1 and height >= 1
        if width_px is not None and height_px is not None:
            inside = inside and right <= width_px and bottom <= height_px
        if not inside:
            size = f"the {width_px} x {height_px} picture" if width_px else "any picture"
            detail = f"lane {lane.name!r}: region {list(lane.region)} is not within {size}"
            raise SourceError("region", detail, permanent=True)
