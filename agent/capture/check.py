"""What can be known wrong of a camera before anything starts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from agent.capture.source import SourceError, SourceInfo
from agent.capture.sources.folder import check_folder
from agent.capture.sources.genicam.options import check_genicam
from agent.capture.urls import OPENERS, opener_of, parse
from agent.config import Camera, Lane
from agent.config.sections.cameras import Region
from agent.records import CaptureMode

RATE_SHARE = 0.1


def check_source(camera: Camera, schemes: Collection[str] = ("sim",)) -> str:
    """Raise ``SourceError`` for an unknown scheme or a missing file.

    ``schemes`` are those that the wiring brings beside capture's own. A network camera or a device
    that is away is no error here: it may come; what a machine camera is told has to be right. A
    folder may be away too, or its pictures; what is missing of them is returned in words, "" where
    nothing is.
    """
    opener = opener_of(camera.source, dict.fromkeys(schemes, ""))
    if opener == OPENERS["genicam"]:
        check_genicam(camera)
    if opener not in (OPENERS["folder"], OPENERS["watch"]):
        return ""
    try:
        check_folder(Path(parse(camera.source).location))
    except SourceError as error:
        # A watched folder is empty most of the time.
        waits = opener == OPENERS["watch"] and error.reason == "empty_folder"
        return "" if waits else error.detail
    return ""


def differences(
    camera: Camera, info: SourceInfo, earlier: SourceInfo | None = None
) -> dict[str, tuple[float, float]]:
    """What was requested of the camera and did not come: name -> (requested, reported).

    A size that is not configured is expected to be that of the session before.

    A rate counts as different from 10 % on: drivers round, and 0 says that it is unknown. Of a
    triggered camera it is the fruit that set the pace, whatever rate the driver says it could do.
    """
    found: dict[str, tuple[float, float]] = {}
    for name in ("width_px", "height_px"):
        requested, reported = getattr(camera, name), getattr(info, name)
        if requested is None and earlier is not None:
            requested = getattr(earlier, name)
        if requested is not None and requested != reported:
            found[name] = (requested, reported)
    if camera.mode is CaptureMode.TRIGGERED or camera.fps is None or info.fps <= 0:
        return found
    if abs(info.fps / camera.fps - 1) > RATE_SHARE:
        found["fps"] = (camera.fps, info.fps)
    return found


def check_earlier(camera: Camera, info: SourceInfo, earlier: SourceInfo | None) -> None:
    """Raise ``SourceError`` when lanes would be cut from pictures of another size than before.

    Not permanent: somebody changed the camera's settings, and may change them back.
    """
    if earlier is None or all(lane.region is None for lane in camera.effective_lanes()):
        return
    if (info.width_px, info.height_px) != (earlier.width_px, earlier.height_px):
        detail = (
            f"the pictures are {info.width_px} x {info.height_px} now and were"
            f" {earlier.width_px} x {earlier.height_px}, for which the lanes' regions are laid out:"
            " set the camera back, or change the regions"
        )
        raise SourceError("size_changed", detail)


def check_size(camera: Camera, info: SourceInfo) -> None:
    """Raise ``SourceError`` (permanent) when lanes are cut from a picture of another size.

    Regions are laid out for the requested size: in a picture of another one they would lie
    elsewhere on the belt, and nobody would notice. Without regions another size is only told.
    """
    if all(lane.region is None for lane in camera.effective_lanes()):
        return
    differing = differences(camera, info).keys() & {"width_px", "height_px"}
    if differing:
        detail = (
            f"the lanes' regions are laid out for {camera.width_px} x {camera.height_px}, but the"
            f" pictures have {info.width_px} x {info.height_px}: set the camera to the size that is"
            " configured, or width_px, height_px and the regions to what it gives"
        )
        raise SourceError("picture_size", detail, permanent=True)


def check_regions(camera: Camera, width_px: int, height_px: int) -> None:
    """Raise ``SourceError`` (permanent) naming the first lane whose region leaves the picture."""
    for lane, region in regions_outside(camera, width_px, height_px):
        detail = (
            f"lane {lane.name!r}: region {list(region)} (x, y, width, height)"
            f" is not within the picture of {width_px} x {height_px}"
        )
        raise SourceError("region", detail, permanent=True)


def regions_outside(camera: Camera, width_px: int, height_px: int) -> Iterator[tuple[Lane, Region]]:
    """Yield the lanes whose regions leave a picture of this size, with their regions."""
    for lane in camera.effective_lanes():
        if lane.region is not None:
            x, y, width, height = lane.region
            if x < 0 or y < 0 or x + width > width_px or y + height > height_px:
                yield lane, lane.region
