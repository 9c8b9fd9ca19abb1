"""What the camera and its driver count: lost pictures, lost triggers, packets, temperature."""

from __future__ import annotations

from agent.capture.source import Measurements
from agent.capture.sources.genicam.backend import Buffer, Device, NodeError, Statistics
from agent.capture.sources.genicam.frame_ids import (
    CountedTriggers,
    FrameIds,
    LostPictures,
    NumberedTriggers,
)
from agent.capture.sources.genicam.nodes import number_of, value_of
from agent.capture.sources.genicam.stamps import Stamps

ASK_S = 5.0
"""How often registers are read that only describe the camera."""
COUNTED = ("FrameTriggerMissed", "TriggerMissed", "MissedTrigger", "ExposureTriggerMissed")
"""What a counter of the camera is set to that counts triggers without a picture."""

TRIGGERS = "FrameTrigger"
"""What a counter is set to that counts all triggers; or it is set to the trigger's own line."""
TRIGGER_CHUNKS = ("triggerinputcounter", "triggercounter")
"""Chunks, in lower case, that hold the number of the picture's trigger."""

PTP_OFFSET = ("PtpOffsetFromMaster", "GevIEEE1588OffsetFromMaster")


class Meter:
    """Fed with every buffer; asked for what is new."""

    def __init__(self, device: Device, differences: list[str], trigger: str | None = None) -> None:
        self._device = device
        self._trigger = (trigger or "").partition(":")
        self._ids = FrameIds()
        self._lost = LostPictures()
        self._missing = 0  # by the ids, not yet told
        self._seen = Statistics(0, 0, 0, 0, 0)
        self._counts_ids = False
        self._pictures = 0  # taken by the camera, lost ones too
        self._numbered = NumberedTriggers()
        self._numbers_lost = 0
        self._has_numbers = False
        self._edges = CountedTriggers()
        self._asked_mono = float("-inf")
        self._missed: int | None = None
        self._counter = self._find_counter()
        self.taken = 0
        """Pictures that the camera took from the buffer before to the newest, this one included."""
        self._remarks = {"feature_differs": "; ".join(differences)} if differences else {}

    def buffer(self, buffer: Buffer) -> None:
        """Take a buffer, complete or not."""
        gap = 0
        if buffer.frame_id is not None:
            gap = self._ids.arrived(buffer.frame_id, buffer.frame_id_first, buffer.frame_id_last)
            self._counts_ids = True
        self._missing += gap
        self.taken = gap + 1
        self._pictures += self.taken
        number = _trigger_number(buffer)
        self._has_numbers |= number is not None
        self._numbers_lost += self._numbered.arrived(number, self.taken)

    def measured(self, stamps: Stamps, triggers_lost: int, now: float) -> Measurements | None:
        """What is new since the last time; None where nothing is."""
        remarks = self._remarks | stamps.take_remarks()
        self._remarks = {}
        triggers_lost, self._numbers_lost = triggers_lost + self._numbers_lost, 0
        ask = now - self._asked_mono >= ASK_S
        if not (ask or self._missing or triggers_lost or remarks):
            return None
        counted = self._device.statistics()
        if not self._counts_ids:  # nothing but the driver knows
            self._missing += _more(self._seen.lost, counted.lost)
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

    def _find_counter(self) -> str:
        """What the counter counts that tells of lost triggers, "" without one; it is left selected.
        None is set up for it: the machine may use them."""
        names = self._device.names()
        if not {"CounterEventSource", "CounterValue"} <= set(names):
            return ""
        try:
            if "CounterSelector" not in names:
                return self._counted()
            before = self._device.read("CounterSelector")
            entries = self._device.node("CounterSelector").entries
            found = {entry: self._counted(entry) for entry in entries}
            chosen = next((one for one, what in found.items() if what in COUNTED), None)
            chosen = chosen or next((one for one, what in found.items() if what), None)
            self._device.write("CounterSelector", before if chosen is None else chosen)
            return "" if chosen is None else found[chosen]
        except NodeError:
            return ""

    def _counted(self, entry: str = "") -> str:
        """What one counter counts, "" where that tells nothing of lost triggers."""
        if entry:
            self._device.write("CounterSelector", entry)
        source = str(self._device.read("CounterEventSource"))
        line, _, edge = self._trigger
        if source == line and edge:  # a counter of both edges would find every second one lost
            counted_edge = value_of(self._device, "CounterEventActivation")
            return source if counted_edge in (None, edge) else ""
        return source if source in (*COUNTED, TRIGGERS) else ""

    def _missed_triggers(self) -> int:
        if not self._counter:
            return 0
        now = number_of(self._device, "CounterValue")
        if now is None:
            return 0
        if self._counter not in COUNTED:  # the pictures' own numbers tell it at once
            return 0 if self._has_numbers else self._edges.look(int(now), self._pictures)
        before, self._missed = self._missed, int(now)
        return 0 if before is None else max(0, int(now) - before)


def _trigger_number(buffer: Buffer) -> int | None:
    for name, value in buffer.chunks.items():
        if name.casefold() in TRIGGER_CHUNKS and isinstance(value, int):
            return value
    return None


def _more(before: int | None, now: int | None) -> int:
    """By how much a count went up; one that began anew counts from 0."""
    if now is None:
        return 0
    return now - (before or 0) if now >= (before or 0) else now
