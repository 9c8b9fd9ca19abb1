"""What the camera and its driver count: lost pictures, lost triggers, packets, temperature."""

from __future__ import annotations

from agent.capture.source import Measurements
from agent.capture.sources.genicam.backend import Buffer, Device, NodeError, Statistics
from agent.capture.sources.genicam.frame_ids import FrameIds, LostPictures
from agent.capture.sources.genicam.nodes import number_of
from agent.capture.sources.genicam.stamps import Stamps

ASK_S = 5.0
"""How often registers are read that only describe the camera."""
COUNTED = ("FrameTriggerMissed", "TriggerMissed", "MissedTrigger", "ExposureTriggerMissed")
"""What a counter of the camera is set to that counts triggers without a picture."""

PTP_OFFSET = ("PtpOffsetFromMaster", "GevIEEE1588OffsetFromMaster")


class Meter:
    """Fed with every buffer; asked for what is new."""

    def __init__(self, device: Device, differences: list[str]) -> None:
        self._device = device
        self._ids = FrameIds()
        self._lost = LostPictures()
        self._missing = 0  # by the ids, not yet told
        self._seen = Statistics(0, 0, 0, 0)
        self._asked_mono = float("-inf")
        self._missed: int | None = None
        self._counts_missed = self._has_counter()
        self.taken = 0
        """Pictures that the camera took from the buffer before to the newest, this one included."""
        self._remarks = {"feature_differs": "; ".join(differences)} if differences else {}

    def buffer(self, buffer: Buffer) -> None:
        """Take a buffer, complete or not."""
        gap = 0
        if buffer.frame_id is not None:
            gap = self._ids.arrived(buffer.frame_id, buffer.frame_id_first, buffer.frame_id_last)
        self._missing += gap
        self.taken = gap + 1

    def measured(self, stamps: Stamps, triggers_lost: int, now: float) -> Measurements | None:
        """What is new since the last time; None where nothing is."""
        remarks = self._remarks | stamps.take_remarks()
        self._remarks = {}
        ask = now - self._asked_mono >= ASK_S
        if not (ask or self._missing or triggers_lost or remarks):
            return None
        counted = self._device.statistics()
        lost = self._lost.divide(self._missing, _more(self._seen.underruns, counted.underruns))
        packets = {
            "missing": _more(self._seen.packets_missing, counted.packets_missing),
            "resent": _more(self._seen.packets_resent, counted.packets_resent),
        }
        self._seen, self._missing = counted, 0
        temperature = offset_s = None
        if ask:
            self._asked_mono = now
            temperature = number_of(self._device, "DeviceTemperature", "DeviceTemperatureAbs")
            offset_ns = number_of(self._device, *PTP_OFFSET)
            offset_s = None if offset_ns is None else offset_ns / 1e9
            triggers_lost += self._missed_triggers()
        said = Measurements(
            lost,
            triggers_lost,
            {kind: count for kind, count in packets.items() if count},
            temperature,
            offset_s,
            remarks,
        )
        return None if said == Measurements() else said

    def _has_counter(self) -> bool:
        """Whether the selected counter of the camera counts missed triggers: it is left as it is,
        because the machine may use the others."""
        if "CounterEventSource" not in self._device.names():
            return False
        try:
            return self._device.read("CounterEventSource") in COUNTED
        except NodeError:
            return False

    def _missed_triggers(self) -> int:
        if not self._counts_missed:
            return 0
        now = number_of(self._device, "CounterValue")
        if now is None:
            return 0
        before, self._missed = self._missed, int(now)
        return 0 if before is None else max(0, int(now) - before)


def _more(before: int | None, now: int | None) -> int:
    """By how much a count went up; one that began anew counts from 0."""
    if now is None:
        return 0
    return now - (before or 0) if now >= (before or 0) else now
