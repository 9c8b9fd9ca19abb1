"""The word of a lane: what an operator said holds until the machine says otherwise."""

from __future__ import annotations

import pytest

from agent.capture.pairing.clock import MachineClock
from agent.capture.pairing.history import Word
from agent.capture.pairing.lane import LanePairing
from agent.capture.pairing.triggers import PairingSettings
from agent.records import CaptureMode, FruitReading, MachineInfo, MachineState, Origin
from tests.publishing import examples

MODES = pytest.mark.parametrize("mode", list(CaptureMode))


class Lane:
    def __init__(self, mode: CaptureMode) -> None:
        self.clock, self.now, self.seq = MachineClock(), 100.0, 0
        self.pairing = LanePairing(mode, PairingSettings(), self.clock, lambda _reason: None)

    def hear(self, origin: Origin = Origin.MACHINE, **said: object) -> None:
        self.now += 0.2
        info = MachineInfo(
            MachineState.RUNNING,
            arrived_mono=self.now,
            origin=origin,
            **said,  # type: ignore[arg-type]
        )
        self.pairing.heard(Word(info, self.clock.generation))

    def fruit(self) -> tuple[str | None, str | None]:
        """Variety and lot of a fruit that comes right after what was said."""
        self.seq, mono = self.seq + 1, self.now + 0.01
        machine = self.pairing.picture(self.seq, mono, mono)
        seen = examples.segmentation(seq=self.seq, captured_mono=mono, machine=machine)
        reading = self.pairing.identified(FruitReading(seen), mono, final=True)
        assert reading is not None
        return reading.segmentation.machine.variety, reading.segmentation.machine.lot


@MODES
def test_fruit_have_the_operators_variety_although_each_message_of_the_machine_names_none(
    mode: CaptureMode,
) -> None:
    lane = Lane(mode)
    lane.hear(Origin.OPERATOR, variety="blush", lot="A")
    assert lane.fruit() == ("blush", "A")
    for i in range(3):
        lane.hear(fruit_id=f"f{i}")
        assert lane.fruit() == ("blush", "A")


@MODES
def test_the_machines_own_variety_ends_the_operators_for_good(mode: CaptureMode) -> None:
    lane = Lane(mode)
    lane.hear(Origin.OPERATOR, variety="blush", lot="A")
    lane.hear(fruit_id="f1", variety="golden")
    assert lane.fruit() == ("golden", None)
    lane.hear(fruit_id="f2")
    assert lane.fruit() == (None, None)


@MODES
def test_a_lot_of_the_machine_leaves_the_operators_variety(mode: CaptureMode) -> None:
    lane = Lane(mode)
    lane.hear(Origin.OPERATOR, variety="blush", lot="A")
    lane.hear(fruit_id="f1", lot="B")
    lane.hear(fruit_id="f2")
    assert lane.fruit() == ("blush", "B")
