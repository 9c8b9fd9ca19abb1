"""What goes into the scheduler and what comes out of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from agent.records import Frame, SamplingClass, SegmentedFrame, Selection


class SkipReason(enum.StrEnum):
    """Why an offered frame was let go; label of ``candidates_skipped``."""

    NOT_DUE = "not_due"  # an ordinary frame before the lane's next periodic turn
    EMPTY = "empty"  # no fruit in the cup
    IMAGE_QUALITY = "image_quality"  # a picture that no model can say anything about
    REPLACED = "replaced"  # a newer frame took its place
    EXPIRED = "expired"  # older than the maximum age before a worker was free
    DEADLINE = "deadline"  # not even the coarsest rung would have been done in time
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One segmented frame, offered for explanation."""

    frame: Frame
    segmentation: SegmentedFrame


@dataclass(frozen=True, slots=True)
class Skipped:
    """The end of an offer that was not selected. ``sampling_class`` is None when it had none."""

    lane: str
    frame_id: str
    reason: SkipReason
    sampling_class: SamplingClass | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Jobs to hand to the pool, best first, and the frames that were let go meanwhile.

    ``unanswered`` are the lanes whose operator's request was given up: no frame that can be
    explained came in its time.
    """

    selected: tuple[Selection, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    unanswered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Books:
    """Every offer ends once: ``offered == selected + sum(skipped) + waiting``.

    Every selection ends once: ``selected == finished + failed + running``. ``budget_s`` is what the
    bucket held at the last decision, in worker-seconds; below 0 while alarms or operators have
    borrowed.
    """

    offered: int
    selected: int
    waiting: int
    running: int
    finished: int
    failed: int
    skipped: Mapping[SkipReason, int]
    budget_s: float
