"""``cameras``: the sources of pictures, and the lanes in each."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Annotated, Final, Literal

from pydantic import Field

from agent.config.rules import Broken, having, not_above, together
from agent.config.sections.base import Extent, Name, Pixel, Seconds, Section
from agent.config.sections.genicam import GenicamOptions
from agent.records import CaptureMode

OVERLAP_MAX: Final = 0.5
"""Two lanes may share this much of the smaller one: fruit at an edge, not one fruit read twice."""

NETWORK: Final = re.compile("rtsps?:", re.IGNORECASE)


_NO_FILES: Final = ("sim:", "rtsp:", "rtsps:", "v4l2:", "genicam:")

Region = tuple[Pixel, Pixel, Extent, Extent]


class Lane(Section):
    """One lane of a picture: a camera of its own from here on."""

    name: Name
    region: Region | None = None
    """x, y, width, height in pixels of the turned picture; the whole picture when absent."""
    cutting_line_deg: Annotated[float, Field(ge=0, lt=180)] = 0.0
    mm_per_px: Annotated[float, Field(gt=0, le=100)] | None = None


SimValue = bool | int | float | str | tuple[str, ...]


class Transport(enum.StrEnum):
    """How the packets of a network camera travel."""

    TCP = "tcp"
    UDP = "udp"
    AUTO = "auto"
    """TCP, and UDP where the camera refuses it."""


class Camera(Section):
    """One physical source of pictures."""

    name: Name
    source: str
    """``sim:``, ``file:///folder``, a path to a folder or video, ``v4l2:///dev/video0``, ``rtsp://...``,
    ``genicam://serial/...``."""
    sim: dict[str, SimValue] | None = None
    """Parameters of the simulated machine, as its URL has them; ``fault`` and ``variety`` may be
    lists. ``agent.simulator.parameters`` says which there are."""
    genicam: GenicamOptions | None = None
    """What a camera of ``genicam:`` is told; the same may stand in its URL."""
    transport: Transport = Transport.TCP
    """Of ``rtsp:``: TCP loses nothing; UDP is never late; auto: TCP, then UDP."""
    mode: CaptureMode = CaptureMode.TRIGGERED
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Rate requested of the source, and the pace of a folder; triggered: pictures expected."""
    width_px: Annotated[int, Field(ge=16, le=16384)] | None = None
    height_px: Annotated[int, Field(ge=16, le=16384)] | None = None
    bit_depth: Literal[8, 10, 12, 14, 16] | None = None
    """Of the 16 bits of a folder's pictures so many are used, from the lowest; None: all."""
    rotate: Literal[0, 90, 180, 270] = 0
    """Degrees clockwise by which the picture is turned before anything reads it."""
    mirror: Literal["none", "horizontal", "vertical"] = "none"
    """After turning: horizontal changes left and right, vertical top and bottom."""
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
    machine_tolerance_s: Annotated[float, Field(gt=0, le=10)] = 0.5
    """Most that the machine's word of a fruit and its picture may be apart; half of the time
    between two pictures where that is less."""
    machine_delay_s: Annotated[float, Field(ge=-10, le=10)] = 0.0
    """By how much the machine's stamp (without one, its message) comes after the picture."""
    machine_wait_s: Annotated[float, Field(ge=0, le=2)] = 0.5
    """Most that a finished reading waits for its fruit's id; never above the tolerance."""
    round_aperture: bool | None = None
    """True: a circle filling the lane is the field of view; None: the picture's alpha, if any."""
    cutting_line_deg: Annotated[float, Field(ge=0, lt=180)] = 0.0
    mm_per_px: Annotated[float, Field(gt=0, le=100)] | None = None
    lanes: tuple[Lane, ...] = ()

    def rule_size(self) -> Iterator[Broken]:
        yield from together(
            {("width_px",): self.width_px, ("height_px",): self.height_px},
            "width and height are requested together",
        )

    def rule_bit_depth(self) -> Iterator[Broken]:
        if self.bit_depth is not None and self.source.startswith(_NO_FILES):
            yield Broken(
                ("bit_depth",),
                "has no effect: only the pictures of a folder may have 16 bits",
                "no bit_depth beside this source",
            )

    def rule_rotate(self) -> Iterator[Broken]:
        if self.rotate and self.source.startswith("sim:"):
            yield _beside_sim("rotate")

    def rule_mirror(self) -> Iterator[Broken]:
        if self.mirror != "none" and self.source.startswith("sim:"):
            yield _beside_sim("mirror")

    def rule_backoff(self) -> Iterator[Broken]:
        yield from not_above(
            "backoff_first_s", self.backoff_first_s, "backoff_max_s", self.backoff_max_s
        )

    def rule_sim(self) -> Iterator[Broken]:
        if self.sim is not None and not self.source.startswith("sim:"):
            yield Broken(
                ("sim",), "has no effect: the source is no simulated machine", 'source: "sim:"'
            )

    def rule_genicam(self) -> Iterator[Broken]:
        if self.genicam is not None and not self.source.startswith("genicam:"):
            yield Broken(
                ("genicam",),
                "has no effect: the source is no GenICam camera",
                "genicam://serial/NUMBER",
            )

    def rule_genicam_roi(self) -> Iterator[Broken]:
        roi = None if self.genicam is None else self.genicam.roi
        size = self.requested_size
        if roi is not None and size is not None and roi[2:] != size:
            yield Broken(
                ("genicam", "roi"),
                f"has another size than width_px and height_px, {size[0]} x {size[1]}",
                "one of the two",
            )

    def rule_transport(self) -> Iterator[Broken]:
        if self.transport is not Transport.TCP and not NETWORK.match(self.source):
            yield Broken(
                ("transport",), "has no effect: the source is no network camera", "rtsp://host/path"
            )

    def rule_cutting_line(self) -> Iterator[Broken]:
        if self.lanes and self.cutting_line_deg != 0.0:
            yield _beside_lanes("cutting_line_deg")

    def rule_mm_per_px(self) -> Iterator[Broken]:
        if self.lanes and self.mm_per_px is not None:
            yield _beside_lanes("mm_per_px")

    def rule_regions(self) -> Iterator[Broken]:
        for i, lane in having("region", self.lanes):
            if lane.region is None and len(self.lanes) > 1:
                yield Broken(
                    ("lanes", i, "region"),
                    "is missing: several lanes of one picture need a region each",
                    "x, y, width, height in pixels",
                )

    def rule_regions_inside(self) -> Iterator[Broken]:
        turned = self.rotate in (90, 270)
        across, down = self.width_px, self.height_px
        if turned:
            across, down = down, across
        for i, (x, y, width, height) in self._regions():
            beyond_width = across is not None and x + width > across
            beyond_height = down is not None and y + height > down
            if beyond_width or beyond_height:
                after = f" after rotate: {self.rotate}" if turned else ""
                yield Broken(
                    ("lanes", i, "region"),
                    "reaches beyond the picture that is requested",
                    f"within {across} x {down} pixels{after}",
                )

    def rule_regions_apart(self) -> Iterator[Broken]:
        for (other, first), (i, second) in combinations(self._regions(), 2):
            if _overlap(first, second) > OVERLAP_MAX:
                yield Broken(
                    ("lanes", i, "region"),
                    f"covers more than half of lane {self.lanes[other].name}: one fruit would be "
                    "read twice",
                )

    def _regions(self) -> Iterator[tuple[int, Region]]:
        """The regions that there are, with the index of the lane of each."""
        for i, lane in having("region", self.lanes):
            if lane.region is not None:
                yield i, lane.region

    @property
    def requested_size(self) -> tuple[int, int] | None:
        """(width, height) that is asked for; None where none is."""
        if self.width_px is None or self.height_px is None:
            return None
        return self.width_px, self.height_px

    def effective_lanes(self) -> tuple[Lane, ...]:
        """The configured lanes, or one lane that is the whole picture and has the camera's name."""
        if self.lanes:
            return self.lanes
        return (
            Lane(name=self.name, cutting_line_deg=self.cutting_line_deg, mm_per_px=self.mm_per_px),
        )


def _beside_sim(key: str) -> Broken:
    return Broken(
        (key,), "does not fit a simulated machine, which is never mounted askew", "a real camera"
    )


def _beside_lanes(key: str) -> Broken:
    return Broken((key,), "has no effect beside lanes", "set it on each lane")


def _overlap(a: Region, b: Region) -> float:
    """Share of the smaller of two regions that the other covers."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    smaller = min(a[2] * a[3], b[2] * b[3])
    return max(width, 0) * max(height, 0) / smaller if smaller > 0 else 0.0
