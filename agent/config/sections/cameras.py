"""``cameras``: the sources of pictures, and the lanes in each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from pydantic import Field

from agent.config.rules import Broken, not_above
from agent.config.sections.base import Extent, Name, Pixel, Seconds, Section
from agent.records import CaptureMode

OVERLAP_MAX: Final = 0.5
"""Two lanes may share this much of the smaller one: fruit at an edge, not one fruit read twice."""


class Lane(Section):
    """One lane of a picture: a camera of its own from here on."""

    name: Name
    region: tuple[Pixel, Pixel, Extent, Extent] | None = None
    """x, y, width, height in pixels of the source's picture; the whole picture when absent."""
    cutting_line_deg: Annotated[float, Field(ge=0, lt=180)] = 0.0
    mm_per_px: Annotated[float, Field(gt=0, le=100)] | None = None


SimValue = bool | int | float | str | tuple[str, ...]


class Camera(Section):
    """One physical source of pictures."""

    name: Name
    source: str
    """``sim:``, ``file:///folder``, a path to a folder or video, ``v4l2:///dev/video0``, ``rtsp://...``."""
    sim: dict[str, SimValue] | None = None
    """Parameters of the simulated machine, as its URL has them; ``fault`` and ``variety`` may be
    lists. ``agent.simulator.parameters`` says which there are."""
    mode: CaptureMode = CaptureMode.TRIGGERED
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Rate requested of the source, and the pace of a folder; triggered: pictures expected."""
    width_px: Annotated[int, Field(ge=16, le=16384)] | None = None
    height_px: Annotated[int, Field(ge=16, le=16384)] | None = None
    queue_slots: Annotated[int, Field(ge=2, le=256)] = 16
    max_age_s: Seconds = 2.0
    open_timeout_s: Seconds = 10.0
    read_timeout_s: Seconds = 5.0
    """A read that has not returned after this long is ended by killing the capture process."""
    frozen_after_s: Seconds = 3.0
    """A sensor's picture that has not changed for this long while the machine may run is frozen."""
    idle_after_s: Seconds = 60.0
    """Triggered, and no machine state known: silence shorter than this is a pause and no fault."""
    backoff_first_s: Seconds = 0.5
    backoff_max_s: Seconds = 30.0
    round_aperture: bool | None = None
    """True: a circle filling the lane is the field of view; None: the picture's alpha, if any."""
    cutting_line_deg: Annotated[float, Field(ge=0, lt=180)] = 0.0
    mm_per_px: Annotated[float, Field(gt=0, le=100)] | None = None
    lanes: tuple[Lane, ...] = ()

    def broken(self) -> Iterator[Broken]:
        if (self.width_px is None) != (self.height_px is None):
            missing = "height_px" if self.height_px is None else "width_px"
            yield Broken((missing,), "is missing: width and height are requested together")
        yield from not_above(
            "backoff_first_s", self.backoff_first_s, "backoff_max_s", self.backoff_max_s
        )
        if self.sim is not None and not self.source.startswith("sim:"):
            yield Broken(
                ("sim",), "has no effect: the source is no simulated machine", 'source: "sim:"'
            )
        if self.lanes:
            for key in ("cutting_line_deg", "mm_per_px"):
                if getattr(self, key) not in (None, 0.0):
                    yield Broken((key,), "has no effect beside lanes", "set it on each lane")
        yield from _region_rules(self)

    def effective_lanes(self) -> tuple[Lane, ...]:
        """The configured lanes, or one lane that is the whole picture and has the camera's name."""
        if self.lanes:
            return self.lanes
        return (
            Lane(name=self.name, cutting_line_deg=self.cutting_line_deg, mm_per_px=self.mm_per_px),
        )


def _region_rules(camera: Camera) -> Iterator[Broken]:
    for i, lane in enumerate(camera.lanes):
        if lane.region is None:
            if len(camera.lanes) > 1:
                yield Broken(
                    ("lanes", i, "region"),
                    "is missing: several lanes of one picture need a region each",
                    "x, y, width, height in pixels",
                )
            continue
        x, y, width, height = lane.region
        beyond_width = camera.width_px is not None and x + width > camera.width_px
        beyond_height = camera.height_px is not None and y + height > camera.height_px
        if beyond_width or beyond_height:
            yield Broken(
                ("lanes", i, "region"),
                "reaches beyond the picture that is requested",
                f"within {camera.width_px} x {camera.height_px} pixels",
            )
        for other in camera.lanes[:i]:
            if other.region is not None and _overlap(lane.region, other.region) > OVERLAP_MAX:
                yield Broken(
                    ("lanes", i, "region"),
                    f"covers more than half of lane {other.name}: one fruit would be read twice",
                )


def _overlap(a: Sequence[int], b: Sequence[int]) -> float:
    """Share of the smaller of two regions that the other covers."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    smaller = min(a[2] * a[3], b[2] * b[3])
    return max(width, 0) * max(height, 0) / smaller if smaller > 0 else 0.0
