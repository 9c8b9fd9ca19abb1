"""Does an angle turn the way its fruit does? One fruit, turned by hand, read before and after.

A mirror in the light path, or a camera set to a mirrored picture, turns every angle the other way,
and nothing in a single picture shows it: a fruit has no left and right.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.alarms.charts.reference import SenseCheck
from agent.capture.check import regions_outside
from agent.capture.lanes import LaneCutter
from agent.capture.mounting import Mounting
from agent.capture.source import Picture
from agent.capture.sources.resize import fit
from agent.capture.urls import parse
from agent.commissioning.errors import CommissioningError
from agent.commissioning.line import as_ring_frame
from agent.config import Camera, Config
from agent.models.fusing import fused
from agent.models.loaded import LoadedModel
from agent.nearest import unknown
from agent.picture_files.decode import read_picture
from agent.picture_files.errors import PictureError
from agent.records import Frame, SegmentedFrame
from agent.segmentation.reading import lanes_of
from agent.segmentation.segmenter import Segmenter

LEAST_DEG, MOST_DEG = 15.0, 75.0
"""Of the turn. A line is the same after 180 degrees, so at 90 both senses end at one angle, and
near 0 or 90 a rough turn does not tell them apart."""
ROUGH_DEG = 25.0
"""By how much a hand may be wrong."""
STILL_DEG, REST_PICTURES, REST_S = 3.0, 5, 1.0
"""A fruit rests while so many readings in a row, over so long, differ by no more."""
MOVED_DEG = 8.0
"""From where it rested, so that it was turned."""


@dataclass(frozen=True, slots=True)
class Turn:
    """``by_deg``: about so far the fruit was turned, counter-clockwise for who looks at the
    side that the camera sees; negative: clockwise. ``lane``: where it lies; None: the only one that
    shows a turn."""

    by_deg: float
    lane: str | None = None

    def __post_init__(self) -> None:
        if not LEAST_DEG <= abs(self.by_deg) <= MOST_DEG:
            raise CommissioningError(
                f"a turn by {self.by_deg:g} degrees tells nothing, as a line looks the same after "
                f"180: turn by {LEAST_DEG:g} to {MOST_DEG:g}, or -{MOST_DEG:g} to -{LEAST_DEG:g}"
            )


def axial(difference_deg: float) -> float:
    """The difference of two lines' angles, in [-90, 90)."""
    return (difference_deg + 90.0) % 180.0 - 90.0


def judge(lane: str, before_deg: float, after_deg: float, by_deg: float) -> SenseCheck:
    """What two angles say of a turn by about ``by_deg``; ``CommissioningError`` where neither sense
    fits. ``mirrored``: they turned the other way."""
    turned = axial(after_deg - before_deg)
    apart = abs(axial(2.0 * by_deg))
    rough = min(ROUGH_DEG, 0.5 * apart - 1.0)
    right, wrong = abs(axial(turned - by_deg)), abs(axial(turned + by_deg))
    if min(right, wrong) > rough:
        raise CommissioningError(
            f"{lane}: the reading went from {before_deg:.1f} to {after_deg:.1f} degrees, a "
            f"turn by {turned:.0f}, neither by {by_deg:g} nor by {-by_deg:g}: turn the same fruit "
            "about its middle, and about so far"
        )
    return SenseCheck(lane=lane, by_deg=by_deg, turned_deg=turned, mirrored=wrong < right)


def remedy(camera: Camera, found: SenseCheck) -> str:
    """What to set where the sense is wrong: a mirrored picture, and the angles given in it."""
    mirror = "horizontal" if camera.mirror == "none" else "none"
    lane = next(one for one in camera.effective_lanes() if one.name == found.lane)
    words = (
        f"{found.lane}: the fruit was turned by {found.by_deg:g} degrees, the reading by "
        f"{found.turned_deg:.0f}: the picture is mirrored, and every angle has the wrong sign; set "
        f"mirror: {mirror} (it is {camera.mirror}) for camera {camera.name}"
    )
    if lane.cutting_line_deg:
        turned = (180.0 - lane.cutting_line_deg) % 180.0
        words += f", and cutting_line_deg: {turned:g} (it is {lane.cutting_line_deg:g})"
    if camera.lanes:
        words += "; regions are in the mirrored picture too, so measure them anew"
    return words


class Reader:
    """Reads pictures of one camera as the running agent does."""

    def __init__(self, config: Config, camera: Camera, model: LoadedModel) -> None:
        self.lanes = lanes_of(camera)
        self._camera = camera
        self._segmenter = Segmenter(fused(model), config.segmentation, self.lanes, time.monotonic)

    def read(self, frame: Frame) -> SegmentedFrame:
        (seen,) = self._segmenter.segment([frame])
        return seen

    def read_file(self, path: Path) -> dict[str, SegmentedFrame]:
        """Of a picture as the camera gives it: what each lane shows."""
        frames = self._cut(self._decoded(path), path)
        return {frame.lane: self.read(frame) for frame in frames}

    def _decoded(self, path: Path) -> Picture:
        camera = self._camera
        try:
            found = read_picture(path, camera.bit_depth)
            image, aperture = found.image, found.aperture
            if parse(camera.source).scheme == "file":
                image, aperture = fit(image, aperture, camera.requested_size)
        except PictureError as error:
            raise CommissioningError(f"{path}: {error.detail}") from error
        return Mounting(camera).apply(Picture(image, aperture, 0, 0.0))

    def _cut(self, picture: Picture, path: Path) -> list[Frame]:
        height, width = picture.image.shape[:2]
        for lane, (x, y, wide, high) in regions_outside(self._camera, width, height):
            raise CommissioningError(
                f"{path}: has {width} x {height} px, and the region of {lane.name} reaches "
                f"{x + wide} x {y + high}: give the camera's own picture"
            )
        return LaneCutter(self._camera).cut(as_ring_frame(picture, 0), "turn", 0, {})


def check_files(reader: Reader, before: Path, after: Path, turn: Turn) -> SenseCheck:
    """The turn between two pictures. ``CommissioningError`` where there is none to be seen."""
    names = _named(reader, turn)
    first, second = reader.read_file(before), reader.read_file(after)
    if all(np.array_equal(first[lane].mask, second[lane].mask) for lane in names):
        raise CommissioningError(f"{before} and {after} show the same: no fruit was turned")
    read = [lane for lane in names if first[lane].reading.read and second[lane].reading.read]
    if not read:
        missing, lane = next(
            (path, lane)
            for path, seen in ((before, first), (after, second))
            for lane in names
            if not seen[lane].reading.read
        )
        reason = (first if missing is before else second)[lane].reading.reason.value
        raise CommissioningError(f"{missing}: no angle is read on {lane} ({reason})")
    angles = {
        lane: (first[lane].reading.angle_deg, second[lane].reading.angle_deg) for lane in read
    }
    turned = [lane for lane, (a, b) in angles.items() if abs(axial(b - a)) >= MOVED_DEG]
    if len(turned) > 1:
        raise CommissioningError(
            f"fruit were turned on {', '.join(turned)}: turn one, or name its lane (--lane)"
        )
    if not turned:
        raise CommissioningError(
            f"{before} and {after}: no fruit was turned by {MOVED_DEG:g} degrees or more"
        )
    (lane,) = turned
    return judge(lane, *angles[lane], turn.by_deg)


def check_live(
    reader: Reader,
    frames: Iterator[Frame | None],
    turn: Turn,
    tell: Callable[[str], None],
    gave_up: Callable[[], bool],
) -> SenseCheck:
    """The turn in front of the camera: a fruit rests, is turned, and rests again.

    ``frames`` may be None where no picture came. ``CommissioningError`` when ``gave_up`` says so,
    or the source ends.
    """
    names = _named(reader, turn)
    if len(names) > 1:
        raise CommissioningError(f"the camera has lanes {', '.join(names)}: name one (--lane)")
    (lane,) = names
    rest, before = Rest(), None
    tell(f"lay one fruit under {lane}, and take the hand away")
    for frame in frames:
        if gave_up():
            break
        if frame is None or frame.lane != lane:
            continue
        seen = reader.read(frame)
        angle = rest.add(seen.reading.angle_deg if seen.reading.read else None, frame.captured_mono)
        if angle is None:
            continue
        if before is None:
            before = angle
            tell(f"it lies at {before:.1f} degrees; now turn it by about {turn.by_deg:g}")
        elif abs(axial(angle - before)) >= MOVED_DEG:
            return judge(lane, before, angle, turn.by_deg)
    raise CommissioningError(
        f"{lane}: no fruit came to rest that is read"
        if before is None
        else f"{lane}: the fruit at {before:.1f} degrees was not turned and read again"
    )


class Rest:
    """Finds out when a fruit lies still."""

    def __init__(self) -> None:
        self._newest: deque[tuple[float, float]] = deque()

    def add(self, angle_deg: float | None, now: float) -> float | None:
        """Take one reading, None for no read; the angle at which the fruit rests, while it does."""
        newest = self._newest
        if angle_deg is None or (newest and abs(axial(angle_deg - newest[0][1])) > STILL_DEG):
            newest.clear()
        if angle_deg is None:
            return None
        newest.append((now, angle_deg))
        rests = len(newest) >= REST_PICTURES and now - newest[0][0] >= REST_S
        return angle_deg if rests else None


def _named(reader: Reader, turn: Turn) -> list[str]:
    if turn.lane is None:
        return list(reader.lanes)
    if turn.lane not in reader.lanes:
        raise CommissioningError(f"--lane: {unknown('lane', turn.lane, reader.lanes)}")
    return [turn.lane]
