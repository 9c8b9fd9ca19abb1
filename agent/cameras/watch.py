"""One camera for some seconds, by the same child process and watch as in the running agent."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from agent.capture.feed import CaptureContext
from agent.capture.sources.folder import DEFAULT_FPS
from agent.capture.sources.genicam.options import options_of
from agent.capture.system import CaptureSystem
from agent.capture.urls import parse
from agent.config import Camera
from agent.records import CameraState, CameraStatus, Frame
from agent.telemetry import NullTelemetry

OPENERS = {"sim": "agent.simulator.source:open_source"}
START_S = 10.0
"""For the start of the process and a first picture, on top of the time-out of the open."""
TURN_S = 0.2
STOP_S = 3.0
MANY = 16


class Counted(NullTelemetry):
    """Adds up what is lost, by name and reason, of one camera."""

    def __init__(self, lane: str) -> None:
        self._lane = lane
        self.counts: Counter[tuple[str, str]] = Counter()

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Add to a counter; lanes of one camera count the same pictures."""
        super().count(name, amount, **labels)
        if labels.pop("camera", self._lane) == self._lane:
            self.counts[name, ", ".join(labels.values())] += int(amount)

    def of(self, name: str) -> dict[str, int]:
        """Counts of one counter, by its other label."""
        return {reason: n for (each, reason), n in self.counts.items() if each == name and n}


@dataclass(slots=True)
class Seen:
    """What came. ``rate`` in pictures a second between the first and the last; ages in seconds,
    from the capture to the hand-over; ``lost`` counts by what became of them."""

    status: CameraStatus
    pictures: int = 0
    first_mono: float = 0.0
    last_mono: float = 0.0
    ages_s: list[float] = field(default_factory=list)
    newest: list[Frame] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)
    remarks: dict[str, int] = field(default_factory=dict)
    refused: str = ""

    @property
    def rate(self) -> float:
        """0 where fewer than two pictures came."""
        span_s = self.last_mono - self.first_mono
        return (self.pictures - 1) / span_s if self.pictures > 1 and span_s > 0 else 0.0

    @property
    def well(self) -> bool:
        """Whether pictures came and none was lost."""
        return self.pictures > 0 and not any(self.lost.values())

    def age_ms(self, share: float) -> float:
        """Quantile of the ages, ms."""
        return 1000 * float(np.quantile(self.ages_s, share)) if self.ages_s else 0.0


def watch(camera: Camera, seconds: float, clock: Callable[[], float] = time.monotonic) -> Seen:
    """Watch for ``seconds`` from the first picture on; at most as long as an open may take before
    it. The camera is released again, whatever came."""
    camera = fired(camera)
    lanes = [lane.name for lane in camera.effective_lanes()]
    telemetry = Counted(lanes[0])
    system = CaptureSystem([camera], CaptureContext(telemetry, clock, "cameras", OPENERS))
    (status,) = system.statuses()
    seen = Seen(status)
    # Its events are for the log of an agent; here the table says what became of the camera.
    silent = logging.NullHandler()
    logging.getLogger("agent").addHandler(silent)
    system.start()
    try:
        end = clock() + camera.open_timeout_s + START_S
        while clock() < end and not system.finished():
            frames = system.take(MANY, TURN_S)
            _note_changes(seen, system)
            for frame in frames:
                if frame.lane != lanes[0]:
                    seen.newest.append(frame)
                    continue
                now = clock()
                if not seen.pictures:
                    seen.first_mono = frame.captured_mono
                    end = now + seconds
                seen.pictures += 1
                seen.last_mono = frame.captured_mono
                seen.ages_s.append(now - frame.captured_mono)
                seen.newest = [frame]
        _note_changes(seen, system)
        (seen.status,) = system.statuses()
        books = system.books()[lanes[0]]
    finally:
        system.stop(STOP_S)
        logging.getLogger("agent").removeHandler(silent)
    seen.lost = {
        **books.dropped_by_reason,
        **telemetry.of("pictures_unreadable"),
        **{f"lost by {reason}": count for reason, count in telemetry.of("pictures_lost").items()},
        "triggers": sum(telemetry.of("triggers_lost").values()),
    }
    seen.remarks = telemetry.of("pictures_remarked")
    return seen


def fired(camera: Camera) -> Camera:
    """The same at a rate of its own where its software trigger waits for the machine's fruit: here
    is no machine that names any."""
    if camera.fps is not None or parse(camera.source).scheme != "genicam":
        return camera
    software = options_of(camera)[1].trigger == "software"
    return camera.model_copy(update={"fps": DEFAULT_FPS}) if software else camera


def _note_changes(seen: Seen, system: CaptureSystem) -> None:
    """Keep why it was refused last: the state after it may be the next try."""
    for change in system.changes():
        if change.state in (CameraState.BACKOFF, CameraState.FAILED, CameraState.STALLED):
            seen.refused = change.detail or change.cause
