"""Another network takes over while pictures go on: on each lane between two fruit.

A fruit of a free-running camera is seen in several pictures, of which the best becomes its reading.
Pictures of two networks cannot be weighed against each other, so a lane goes over with the first
picture of a fruit, or between fruit; after ``PATIENCE_S`` it does so all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from agent import config
from agent.records import Frame, MachineInfo, SegmentedFrame
from agent.segmentation.reading import LaneGeometry
from agent.segmentation.segmenter import Segmenter
from agent.telemetry import Clock, log_event

logger = logging.getLogger(__name__)

PATIENCE_S = 4.0
"""Twice the time after which a fruit that stands in view is answered."""


class SegmenterSwitch:
    """Segments with the network that was given last.

    ``continues``: whether a picture of that lane and that word of the machine would be one more of
    a fruit in view. ``segment`` is called by one thread, the rest by any.
    """

    def __init__(
        self, first: Segmenter, continues: Callable[[str, MachineInfo], bool], clock: Clock
    ) -> None:
        self._continues = continues
        self._clock = clock
        # One object, so that the live thread sees segmenter and time of one switch, never of two.
        self._wanted = (first, clock())
        self._of_lane: dict[str, Segmenter] = {}
        self._configured: tuple[config.Segmentation, dict[str, LaneGeometry]] | None = None
        self._newest = first

    @property
    def current(self) -> Segmenter:
        """The one that was given last."""
        return self._wanted[0]

    @property
    def pending(self) -> bool:
        """Whether a lane still has an earlier one."""
        wanted = self._wanted[0]
        return any(one is not wanted for one in list(self._of_lane.values()))

    def switch(self, segmenter: Segmenter) -> None:
        """Have every lane go over to ``segmenter``; hand pictures over one by one meanwhile."""
        self._wanted = (segmenter, self._clock())

    def configure(self, settings: config.Segmentation, lanes: Mapping[str, LaneGeometry]) -> None:
        """Go by other settings and lanes from the next batch on, with every network that is given
        later too; for the thread that segments."""
        self._configured = settings, dict(lanes)
        self._of_lane = {lane: one for lane, one in self._of_lane.items() if lane in lanes}
        for segmenter in {self._wanted[0], self._newest, *self._of_lane.values()}:
            segmenter.configure(settings, lanes)

    def segment(self, frames: Sequence[Frame]) -> list[SegmentedFrame]:
        """One segmentation per frame, in their order. What a network raises is the caller's."""
        wanted, since_mono = self._wanted
        if wanted is not self._newest:
            self._newest = wanted
            if self._configured is not None:  # it was made before that
                wanted.configure(*self._configured)
        firsts = {frame.lane: frame for frame in reversed(frames)}
        for frame in firsts.values():
            self._go_over(frame, wanted, since_mono)
        used = {self._of_lane[lane] for lane in firsts}
        if len(used) == 1:
            return used.pop().segment(frames)
        # Rare: lanes of one batch with two networks. Each sees its own pictures, in their order.
        found: dict[int, SegmentedFrame] = {}
        for segmenter in used:
            at = [i for i, frame in enumerate(frames) if self._of_lane[frame.lane] is segmenter]
            segmented = segmenter.segment([frames[i] for i in at])
            found.update(zip(at, segmented, strict=True))
        return [found[i] for i in range(len(frames))]

    def _go_over(self, frame: Frame, wanted: Segmenter, since_mono: float) -> None:
        lane = frame.lane
        before = self._of_lane.get(lane)
        if before is wanted:
            return
        waited_s = self._clock() - since_mono
        seen = before is not None and self._continues(lane, frame.machine)
        if seen and waited_s < PATIENCE_S:
            return
        self._of_lane[lane] = wanted
        if before is not None:
            log_event(
                logger,
                logging.INFO,
                "model_takes_over",
                camera=lane,
                before=before.model_sha256[:12],
                now=wanted.model_sha256[:12],
                after_s=round(waited_s, 3),
                fruit_in_view=seen,
            )
