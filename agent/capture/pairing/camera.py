"""The lanes of one camera: what the machine said of each."""

from __future__ import annotations

from functools import partial

from agent.capture.pairing.clock import MachineClock
from agent.capture.pairing.history import Word
from agent.capture.pairing.lane import LanePairing
from agent.capture.pairing.triggers import PairingSettings
from agent.config import Camera
from agent.records import CaptureMode, FruitReading, IdReason, MachineInfo
from agent.telemetry import Telemetry


class CameraPairing:
    """A word without a lane concerns every lane: of one picture, each is then the same fruit."""

    def __init__(self, camera: Camera, clock: MachineClock, telemetry: Telemetry) -> None:
        triggered = camera.mode is CaptureMode.TRIGGERED
        settings = PairingSettings(
            tolerance_s=camera.machine_tolerance_s,
            delay_s=camera.machine_delay_s,
            wait_s=camera.machine_wait_s,
            period_s=1 / camera.fps if triggered and camera.fps is not None else None,
        )
        self._telemetry = telemetry
        self._lanes = {
            lane.name: LanePairing(
                camera.mode,
                settings,
                clock,
                partial(self._unused, lane.name),
            )
            for lane in camera.effective_lanes()
        }

    def heard(self, word: Word) -> None:
        """Take a message of the machine."""
        for name, lane in self._lanes.items():
            if word.info.lane in (None, name):
                lane.heard(word)

    def picture(self, seq: int, mono: float, now: float) -> dict[str, MachineInfo]:
        """Take notice of a picture; return for each lane what was valid at its capture."""
        return {name: lane.picture(seq, mono, now) for name, lane in self._lanes.items()}

    @property
    def waiting(self) -> bool:
        """Whether a picture may be waiting for the machine's next word."""
        return any(lane.waiting for lane in self._lanes.values())

    def identified(
        self, reading: FruitReading, now: float, *, final: bool = False
    ) -> FruitReading | None:
        """Return the reading with its fruit's id; None while that may still come."""
        name = reading.segmentation.lane
        named = self._lanes[name].identified(reading, now, final=final)
        if named is None:
            return None
        if named.segmentation.machine.fruit_id or named.id_reason is not IdReason.NONE:
            self._telemetry.count("fruit_ids", camera=name, reason=named.id_reason)
            self._telemetry.observe("fruit_id_wait_seconds", named.waited_s, camera=name)
        return named

    def _unused(self, lane: str, reason: str) -> None:
        self._telemetry.count("machine_words_unused", camera=lane, reason=reason)
