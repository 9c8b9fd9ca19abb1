"""One reading per lane and fruit: the step from pictures to fruit. Pure: it is fed the time.

- TRIGGERED: every picture is one fruit, or an empty cup.
- FREE_RUN without the machine's report: a fruit is a peak of presence, the share of the aperture
  that is lit. It begins where presence reaches ``ENTER`` and has risen by ``PROMINENCE`` above the
  last valley, and ends where presence has fallen by ``PROMINENCE`` from its peak, so that round
  fruit that touch each other are still told apart. Empty cups cannot be seen in this way.
- FREE_RUN with a fruit id (or else an encoder count) from the machine: the pictures of one id are
  one fruit, or one empty cup when none of them shows anything. An id that was answered is not
  answered again; its late pictures are counted (``pictures_late``).

The reading is that of the best picture: a reading before a no-read, then the highest confidence
times presence. A fruit that stands in view (the belt has stopped) is answered after
``max_fruit_s`` and not a second time. A picture of unusable quality says nothing about presence.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.records import CaptureMode, FruitReading, MachineInfo, NoReadReason, SegmentedFrame
from agent.segmentation.reading import LaneGeometry
from agent.telemetry import NullTelemetry, Telemetry

ENTER = 0.5
PROMINENCE = 0.25
MAX_FRUIT_S = 2.0
"""About ten times the time of a fruit at 280 a minute on one lane."""
REMEMBERED = 64
"""Answered ids kept per lane; a machine's counter wraps around at a far higher number."""

Key = str | int


@dataclass(slots=True)
class _Open:
    """The fruit in view."""

    key: Key | None
    since_mono: float
    best: SegmentedFrame
    peak: float = 0.0
    frames: int = 0


@dataclass(slots=True)
class _Lane:
    """``valley``: lowest presence since the last fruit ended; ``peak``: highest since it began or,
    while an answered fruit still stands in view, since it was answered."""

    fruit: _Open | None = None
    named: bool = False  # whether the machine named the last picture's fruit
    standing: bool = False
    valley: float = 0.0
    peak: float = 0.0
    answered: deque[Key] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


class FruitReader:
    """Turns the segmentations of any number of lanes into fruit readings.

    Segmentations of one lane are fed in the order of capture; a lane missing from ``lanes`` is
    TRIGGERED.
    """

    def __init__(
        self,
        lanes: Mapping[str, LaneGeometry],
        max_fruit_s: float = MAX_FRUIT_S,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._telemetry = telemetry or NullTelemetry()
        self._modes = {camera: lane.mode for camera, lane in lanes.items()}
        self._max_fruit_s = max_fruit_s
        self._lanes: dict[str, _Lane] = {}

    def feed(self, segmentation: SegmentedFrame, now: float) -> list[FruitReading]:
        """The fruit that this picture completes: none, one, or two."""
        mode = self._modes.get(segmentation.lane, CaptureMode.TRIGGERED)
        if mode is CaptureMode.TRIGGERED:
            return [FruitReading(segmentation)]
        lane = self._lanes.setdefault(segmentation.lane, _Lane())
        key = _key(segmentation.machine)
        out = self._overdue(lane, now)
        if key is not None:
            return out + self._feed_named(lane, key, segmentation, now)
        return out + self._feed_by_presence(lane, segmentation, now)

    def continues(self, lane: str, machine: MachineInfo) -> bool:
        """Whether a picture of that lane, taken with that word of the machine, would be one more of
        a fruit that is in view and not answered yet."""
        known = self._lanes.get(lane)
        if known is None or known.fruit is None:
            return False
        key, named = known.fruit.key, _key(machine)
        return key is None or named is None or key == named

    def flush(self) -> list[FruitReading]:
        """Answer what is in view of every lane: the agent stops."""
        return [reading for lane in self._lanes.values() for reading in _close(lane)]

    @property
    def lanes(self) -> tuple[str, ...]:
        """The names of the lanes that are known."""
        return tuple(self._modes)

    def change_lanes(self, lanes: Mapping[str, LaneGeometry]) -> list[FruitReading]:
        """Go on with these lanes; answer what is in view of those that are gone or have another
        mode, of which nothing is remembered."""
        modes = {camera: lane.mode for camera, lane in lanes.items()}
        ended = [name for name in self._lanes if modes.get(name) is not self._modes.get(name)]
        self._modes = modes
        return [reading for name in ended for reading in _close(self._lanes.pop(name))]

    def tick(self, now: float) -> list[FruitReading]:
        """Answer fruit that have been in view for ``max_fruit_s``, also when no picture comes."""
        return [reading for lane in self._lanes.values() for reading in self._overdue(lane, now)]

    def _overdue(self, lane: _Lane, now: float) -> list[FruitReading]:
        fruit = lane.fruit
        if fruit is None or now - fruit.since_mono < self._max_fruit_s:
            return []
        lane.standing, lane.peak = True, fruit.peak
        return _close(lane)

    def _feed_named(
        self, lane: _Lane, key: Key, segmentation: SegmentedFrame, now: float
    ) -> list[FruitReading]:
        if not lane.named:  # the first name belongs to the fruit that is already in view
            if lane.fruit is not None and key not in lane.answered:
                lane.fruit.key = key
            elif lane.standing:
                lane.answered.append(key)
        lane.named, lane.standing, lane.valley = True, False, 0.0
        out = _close(lane) if lane.fruit is not None and lane.fruit.key != key else []
        if key in lane.answered:
            self._telemetry.count("pictures_late", camera=segmentation.lane)
            return out
        if lane.fruit is None:
            lane.fruit = _Open(key, now, segmentation)
        _add_picture(lane.fruit, segmentation)
        return out

    def _feed_by_presence(
        self, lane: _Lane, segmentation: SegmentedFrame, now: float
    ) -> list[FruitReading]:
        out: list[FruitReading] = []
        presence = _presence(segmentation)
        if lane.named:
            # The machine stopped naming fruit: the one in view is answered and has to leave first.
            shown = presence or 0.0
            lane.named, lane.standing = False, shown >= ENTER
            lane.peak = lane.valley = shown
            out = _close(lane)
        if presence is None:
            if lane.fruit is not None:
                _add_picture(lane.fruit, segmentation)
            return out
        if lane.fruit is not None:
            _add_picture(lane.fruit, segmentation)
            if presence <= lane.fruit.peak - PROMINENCE:
                lane.valley = presence
                return out + _close(lane)
        elif lane.standing:
            lane.peak = max(lane.peak, presence)
            if presence <= lane.peak - PROMINENCE:
                lane.standing, lane.valley = False, presence
        else:
            lane.valley = min(lane.valley, presence)
            if presence >= max(ENTER, lane.valley + PROMINENCE):
                lane.fruit = _Open(None, now, segmentation)
                _add_picture(lane.fruit, segmentation)
        return out


def _close(lane: _Lane) -> list[FruitReading]:
    fruit, lane.fruit = lane.fruit, None
    if fruit is None:
        return []
    best = fruit.best
    if fruit.key is not None:
        lane.answered.append(fruit.key)
        # The best picture may have been taken before the machine named the fruit.
        best = _named(best, fruit.key)
    return [FruitReading(best, fruit.frames)]


def _add_picture(fruit: _Open, segmentation: SegmentedFrame) -> None:
    fruit.frames += 1
    fruit.peak = max(fruit.peak, _presence(segmentation) or 0.0)
    if fruit.frames == 1 or _quality(segmentation) > _quality(fruit.best):
        fruit.best = segmentation


def _quality(segmentation: SegmentedFrame) -> tuple[bool, int, float, float]:
    """Order of the pictures of one fruit: what is read, what is seen, how surely, how much."""
    reading, presence = segmentation.reading, _presence(segmentation)
    if presence is None:
        return reading.read, 0, 0.0, 0.0
    seen = 1 if _is_empty(segmentation) else 2
    return reading.read, seen, reading.confidence_raw * presence, presence


def _presence(segmentation: SegmentedFrame) -> float | None:
    """Share of the aperture that is lit; None where the picture cannot tell."""
    if segmentation.reading.reason is NoReadReason.IMAGE_QUALITY:
        return None
    return segmentation.coverage


def _is_empty(segmentation: SegmentedFrame) -> bool:
    return segmentation.reading.reason is NoReadReason.EMPTY


def _key(machine: MachineInfo) -> Key | None:
    return machine.fruit_id if machine.fruit_id is not None else machine.encoder


def _named(segmentation: SegmentedFrame, key: Key) -> SegmentedFrame:
    machine = segmentation.machine
    if _key(machine) == key:
        return segmentation
    if isinstance(key, str):
        named = dataclasses.replace(machine, fruit_id=key)
    else:
        named = dataclasses.replace(machine, encoder=key)
    return dataclasses.replace(segmentation, machine=named)
