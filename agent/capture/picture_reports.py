"""What a capture child says of single pictures: counted, told, and where the next child goes on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from agent.capture.messages import Remarked, Unreadable
from agent.capture.source import Measurements, Place
from agent.capture.state_machine import Change
from agent.capture.states import Cause
from agent.picture_files import printable
from agent.records import Frame
from agent.telemetry import Telemetry, log_event

logger = logging.getLogger(__name__)

_OF_THE_FILE = {
    Cause.OPEN_TIMEOUT: "timeout",
    Cause.READ_TIMEOUT: "timeout",
    Cause.CHILD_DIED: "crashed",
}
"""What a file is counted as in which a session ended by this cause."""


class PictureReports:
    """Of one camera, over all its sessions. ``place``: where its source of files stands."""

    def __init__(self, camera: str, lanes: Sequence[str], telemetry: Telemetry) -> None:
        self._camera = camera
        self._lanes = lanes
        self._telemetry = telemetry
        self._told: set[str] = set()
        self.place = Place()

    def unreadable(self, message: Unreadable) -> None:
        """Pictures that became no frame: each reason counted, one example told."""
        for reason, count in message.counts.items():
            for lane in self._lanes:
                self._telemetry.count("pictures_unreadable", count, camera=lane, reason=reason)
        log_event(
            logger,
            logging.WARNING,
            "pictures_unreadable",
            camera=self._camera,
            counts=dict(message.counts),
            example=message.detail,
        )

    def remarked(self, message: Remarked) -> None:
        """Pictures that are used all the same: counted, each kind told once."""
        for kind, count in message.counts.items():
            for lane in self._lanes:
                self._telemetry.count("pictures_remarked", count, camera=lane, kind=kind)
            if kind not in self._told:
                self._told.add(kind)
                log_event(
                    logger,
                    logging.WARNING,
                    "picture_remarked",
                    camera=self._camera,
                    kind=kind,
                    example=message.details.get(kind, ""),
                )

    def measured(self, message: Measurements) -> None:
        """What the camera itself counts and measures."""
        for lane in self._lanes:
            for reason, count in message.lost.items():
                self._telemetry.count("pictures_lost", count, camera=lane, reason=reason)
            if message.triggers_lost:
                self._telemetry.count("triggers_lost", message.triggers_lost, camera=lane)
            for kind, count in message.packets.items():
                self._telemetry.count("camera_packets", count, camera=lane, kind=kind)
            for gauge, value in (
                ("camera_temperature_celsius", message.temperature_celsius),
                ("camera_clock_offset_seconds", message.clock_offset_s),
            ):
                if value is not None:
                    self._telemetry.gauge(gauge, value, camera=lane)
        if message.lost or message.triggers_lost:
            log_event(
                logger,
                logging.WARNING,
                "pictures_lost",
                camera=self._camera,
                counts=dict(message.lost),
                triggers=message.triggers_lost,
            )
        if message.remarks:
            self.remarked(Remarked(dict.fromkeys(message.remarks, 1), message.remarks))

    def showing(self, frames: list[Frame]) -> list[Frame]:
        """The frames as they are; what the camera put into their picture goes to the metrics."""
        for frame in frames:
            for chunk, value in frame.chunks.items():
                if not isinstance(value, str):
                    self._telemetry.gauge("camera_chunk", value, camera=frame.lane, chunk=chunk)
        return frames

    def leave(self, change: Change) -> None:
        """A session ended by ``change``: the next goes on behind a file that ended it."""
        reading, reason = self.place.reading, _OF_THE_FILE.get(change.cause)
        if reading and reason:
            self.unreadable(Unreadable({reason: 1}, f"{printable(reading)}: {change.detail}"))
            self.place = Place(behind=reading)
        else:
            self.place = Place(behind=self.place.behind)
