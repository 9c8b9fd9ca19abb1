"""The lanes of one camera and all cameras of a system: who hears which word, what readings get."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from agent.capture.feed import CaptureContext
from agent.capture.pairing.camera import CameraPairing
from agent.capture.pairing.clock import MachineClock
from agent.capture.pairing.history import Word
from agent.capture.system import CaptureSystem
from agent.records import CaptureMode, FruitReading, IdReason, MachineInfo, MachineState, Origin
from tests.capture.support import Ledger, camera
from tests.publishing.examples import segmentation

LANES = (
    {"name": "left", "region": (0, 0, 32, 48)},
    {"name": "right", "region": (32, 0, 32, 48)},
)


class Line:
    """A camera whose pictures come at 5 Hz, beside a machine that stamps its words."""

    def __init__(self, **keys: object) -> None:
        self.ledger, self.clock = Ledger(), MachineClock()
        keys = {"mode": "triggered", "fps": 5, "lanes": LANES} | keys
        self.pairing = CameraPairing(camera(**keys), self.clock, self.ledger)  # type: ignore[arg-type]
        self.now, self.seq = 100.0, 0

    def say(self, **facts: object) -> None:
        stamp_ms = round(1000 * self.now) + 10**12
        self.clock.heard(self.now, stamp_ms)
        info = MachineInfo(
            MachineState.RUNNING,
            machine_timestamp_ms=stamp_ms,
            arrived_mono=self.now,
            **facts,  # type: ignore[arg-type]
        )
        self.pairing.heard(Word(info, self.clock.generation))

    def picture(self, **own: object) -> dict[str, FruitReading | None]:
        """Take one picture at once; what its readings get."""
        self.seq += 1
        machines = self.pairing.picture(self.seq, self.now, self.now)
        out = {}
        for lane, machine in machines.items():
            seen = segmentation(
                lane=lane,
                seq=self.seq,
                captured_mono=self.now,
                done_mono=self.now,
                machine=replace(machine, **own),  # type: ignore[arg-type]
            )
            out[lane] = self.pairing.identified(FruitReading(seen), self.now)
        self.now += 0.2
        return out

    def warm(self, count: int = 6, **facts: object) -> None:
        for _ in range(count):
            self.say(fruit_id=f"w{self.seq}", **facts)
            self.picture()


def named(reading: FruitReading | None) -> tuple[str | None, IdReason]:
    assert reading is not None
    return reading.segmentation.machine.fruit_id, reading.id_reason


def test_one_trigger_names_each_lane_of_its_picture_once() -> None:
    line = Line()
    line.warm()
    line.say(fruit_id="f1")
    assert {lane: named(one) for lane, one in line.picture().items()} == {
        "left": ("f1", IdReason.NONE),
        "right": ("f1", IdReason.NONE),
    }
    assert line.picture() == {"left": None, "right": None}, "used up: both wait for their own"


def test_a_free_running_picture_that_waited_has_the_word_of_when_it_came() -> None:
    line = Line(mode="free-run", lanes=())
    line.warm(10)
    (machine,) = line.pairing.picture(99, line.now - 0.7, line.now).values()
    seen = segmentation(lane="cam1", seq=99, captured_mono=line.now, machine=machine)
    assert machine.fruit_id == "w6"
    assert named(line.pairing.identified(FruitReading(seen), line.now)) == ("w6", IdReason.NONE)


def test_a_trigger_with_a_lane_names_that_lane_alone() -> None:
    line = Line()
    line.warm()
    line.say(fruit_id="left1", lane="left", lot="L1")
    line.say(fruit_id="right1", lane="right", lot="L2")
    readings = line.picture()
    assert named(readings["left"]) == ("left1", IdReason.NONE)
    assert named(readings["right"]) == ("right1", IdReason.NONE)
    lots = {lane: one.segmentation.machine.lot for lane, one in readings.items() if one}
    assert lots == {"left": "L1", "right": "L2"}


def test_the_word_of_the_trigger_comes_along_with_its_stamp() -> None:
    line = Line(lanes=())
    line.warm(lot="old")
    stamp_ms = round(1000 * line.now) + 10**12
    line.say(fruit_id="f1", encoder=7, lot="new", variety="golden")
    reading = line.picture()["cam1"]
    assert reading is not None
    machine = reading.segmentation.machine
    assert (machine.fruit_id, machine.encoder, machine.lot) == ("f1", 7, "new")
    assert (machine.variety, machine.machine_timestamp_ms) == ("golden", stamp_ms)
    assert line.ledger.counts["fruit_ids", "cam1", "none"] == 5


def test_what_the_picture_says_itself_wins_and_is_certain() -> None:
    line = Line(lanes=())
    line.warm()
    line.say(fruit_id="other")
    reading = line.picture(fruit_id="own", pictured=True)["cam1"]
    assert named(reading) == ("own", IdReason.NONE)
    line.say(fruit_id="f2", lot="of the machine")
    reading = line.picture(lot="of the picture")["cam1"]
    assert named(reading) == ("f2", IdReason.NONE)
    assert reading is not None
    assert reading.segmentation.machine.lot == "of the picture"


def test_an_unnamed_picture_has_the_state_of_its_capture_and_no_stamp() -> None:
    line = Line(lanes=())
    line.warm(encoder=41, lot="L")
    line.picture()
    line.now += 0.2
    reading = line.pairing.identified(
        FruitReading(segmentation(lane="cam1", seq=line.seq, captured_mono=line.now - 0.4,
                                  machine=MachineInfo(encoder=41, lot="L"))),
        line.now,
    )  # fmt: skip
    assert named(reading) == (None, IdReason.MISSING)
    assert reading is not None
    assert reading.segmentation.machine.machine_timestamp_ms == 0
    assert reading.segmentation.machine.encoder == 41


def test_a_free_running_lane_has_the_id_that_was_valid() -> None:
    line = Line(mode=CaptureMode.FREE_RUN, lanes=(), fps=25)
    for i in range(12):
        line.say(fruit_id=f"f{i}")
        line.now += 0.5
    line.now -= 0.25
    assert named(line.picture()["cam1"]) == ("f11", IdReason.NONE)
    line.now += 0.6
    assert named(line.picture()["cam1"]) == ("f11", IdReason.AMBIGUOUS)


def system(ledger: Ledger) -> CaptureSystem:
    context = CaptureContext(ledger, lambda: 50.0, "s")
    return CaptureSystem([camera(lanes=LANES, mode="triggered")], context)


def test_a_lane_that_is_none_costs_its_message_and_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ledger = Ledger()
    capture = system(ledger)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "agent.capture"):
        capture.set_machine(MachineInfo(fruit_id="f", lane="middle"))
    assert [record.message for record in caplog.records] == ["machine_lane_unknown"]
    assert ledger.counts["machine_words_unused", "none", "unknown_lane"] == 1
    capture.set_machine(MachineInfo(fruit_id="f", lane="left"))
    assert ledger.counts["machine_words_unused", "none", "unknown_lane"] == 1
    capture.stop(1.0)


def test_a_clock_that_was_set_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    capture = system(Ledger())
    caplog.clear()
    with caplog.at_level(logging.WARNING, "agent.capture"):
        for i in range(12):
            stamp_ms = 10**12 + 200 * i + (3_600_000 if i >= 6 else 0)
            capture.set_machine(
                MachineInfo(
                    fruit_id=f"f{i}", machine_timestamp_ms=stamp_ms, arrived_mono=10 + 0.2 * i
                )
            )
    assert [record.message for record in caplog.records] == ["machine_clock_stepped"]
    capture.stop(1.0)


def test_what_a_broker_kept_teaches_nothing_of_the_clock() -> None:
    ledger = Ledger()
    capture = system(ledger)
    for i in range(5):
        capture.set_machine(
            MachineInfo(
                fruit_id=f"f{i}",
                machine_timestamp_ms=10**12 + 200 * i,
                arrived_mono=10 + 0.2 * i,
                origin=Origin.STORED,
            )
        )
    assert not capture._machine_clock.known(0.1)
    capture.stop(1.0)
