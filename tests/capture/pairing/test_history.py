"""What was valid when a picture was captured."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.capture.pairing.clock import MachineClock
from agent.capture.pairing.history import KEPT, MachineHistory, Word
from agent.records import IdReason, MachineInfo, MachineState, Origin

OFF_S = 1.7e9


class Told:
    """A history that is told words, each said at a moment and ``delay_s`` under way."""

    def __init__(self, stamped: bool = True, tolerance_s: float = 0.1) -> None:
        self.clock, self.stamped = MachineClock(), stamped
        self.history = MachineHistory(self.clock, tolerance_s)

    def say(self, at: float, delay_s: float = 0.002, **facts: object) -> bool:
        stamp_ms = round(1000 * (at + OFF_S)) if self.stamped else 0
        if stamp_ms:
            self.clock.heard(at + delay_s, stamp_ms)
        info = MachineInfo(
            MachineState.RUNNING,
            machine_timestamp_ms=stamp_ms,
            arrived_mono=at + delay_s,
            **facts,  # type: ignore[arg-type]
        )
        return self.history.heard(Word(info, self.clock.generation))

    def ids(self, count: int, period_s: float = 0.5, delay_s: float = 0.002) -> None:
        for i in range(count):
            self.say(10 + i * period_s, delay_s, fruit_id=f"f{i}")


def test_a_word_is_valid_from_its_moment_to_the_next_ones() -> None:
    told = Told()
    told.say(10.0, lot="A", encoder=2**63 - 1)
    told.say(11.0, 0.9, lot="B", encoder=0)  # late, and the encoder has wrapped around
    told.say(12.0, lot="C", encoder=5)
    at = told.history.at
    assert at(9.9) == MachineInfo()
    assert [(at(t).lot, at(t).encoder) for t in (10.5, 11.2, 11.8, 12.5)] == [
        ("A", 2**63 - 1), ("B", 0), ("B", 0), ("C", 5),
    ]  # fmt: skip


def test_words_out_of_order_are_put_into_the_order_of_their_stamps() -> None:
    told = Told()
    told.say(10.0, lot="A")
    told.say(12.0, lot="C")
    told.say(11.0, 1.1, lot="B")
    assert [told.history.at(t).lot for t in (10.5, 11.5, 12.5)] == ["A", "B", "C"]


def test_a_flood_stays_bounded_and_claims_nothing_of_what_it_forgot() -> None:
    told = Told()
    full = [told.say(10 + 0.001 * i, 0.0, encoder=i, lot="L", fruit_id=f"f{i}")
            for i in range(5000)]  # fmt: skip
    assert full.count(True) == 5000 - KEPT
    forgotten = told.history.at(10.0)
    assert (forgotten.encoder, forgotten.fruit_id, forgotten.lot) == (None, None, "L")
    assert told.history.at(14.9905).encoder == 4990


def test_the_same_word_again_takes_no_room() -> None:
    told = Told()
    full = [told.say(10 + 0.1 * i, lot="L") for i in range(2 * KEPT)]
    assert not any(full)
    assert told.history.at(10.05).lot == "L"


def test_an_operators_change_keeps_the_fruit_of_the_lane() -> None:
    told = Told()
    told.say(10.0, fruit_id="f1", encoder=3, variety="golden")
    info = MachineInfo(variety="blush", arrived_mono=11.0, origin=Origin.OPERATOR)
    told.history.heard(Word(info, told.clock.generation))
    now = told.history.at(12.0)
    assert (now.fruit_id, now.encoder, now.variety) == ("f1", 3, "blush")


# --- free-run: an id is valid for an interval -----------------------------------------------------


@pytest.mark.parametrize("stamped", [True, False], ids=["stamps", "no_stamps"])
def test_the_id_of_a_picture_well_inside_its_interval_is_certain(stamped: bool) -> None:
    told = Told(stamped)
    told.ids(20)
    assert told.history.certainty(17.25, "f14") is IdReason.NONE
    assert told.history.certainty(17.01, "f14") is IdReason.AMBIGUOUS
    assert told.history.certainty(17.49, "f14") is IdReason.AMBIGUOUS
    assert told.history.certainty(17.25, "f13") is IdReason.AMBIGUOUS
    assert told.history.certainty(17.25, None) is IdReason.MISSING
    assert told.history.certainty(9.0, "f0") is IdReason.MISSING


def test_an_id_that_lasts_longer_than_others_may_hide_a_lost_one() -> None:
    told = Told()
    told.ids(12)
    told.say(16.5, fruit_id="f13")  # f12 was lost
    assert told.history.certainty(15.75, "f11") is IdReason.NONE
    assert told.history.certainty(16.25, "f11") is IdReason.AMBIGUOUS


def test_the_first_ids_and_a_stored_one_are_not_certain() -> None:
    told = Told()
    told.say(9.0, fruit_id="old", origin=Origin.STORED)
    assert told.history.certainty(9.2, "old") is IdReason.STORED
    told.ids(1)
    assert told.history.certainty(10.25, "f0") is IdReason.CLOCK
    told.ids(6)
    assert told.history.certainty(10.75, "f1") is IdReason.UNPROVEN


def test_without_stamps_a_burst_makes_nothing_certain() -> None:
    told = Told(stamped=False)
    told.ids(12)
    for i in range(12, 16):
        told.say(10 + i * 0.5, 17.9 - (10 + i * 0.5), fruit_id=f"f{i}")
    for i in range(16, 20):
        told.say(10 + i * 0.5, fruit_id=f"f{i}")
    assert told.history.certainty(18.25, "f16") is IdReason.UNPROVEN


def test_a_machine_that_names_no_fruit_has_no_uncertain_ids() -> None:
    told = Told()
    told.say(10.0, lot="A")
    assert told.history.certainty(10.5, None) is IdReason.NONE


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.booleans(),
    st.floats(0.0, 0.6),
    st.floats(0, 0.05),
    st.floats(0.2, 1.0),
)
def test_in_free_run_no_wrong_id_is_certain(
    seed: int, stamped: bool, jitter_s: float, lost: float, period_s: float
) -> None:
    """Random delays and few losses (six that hide every other id would look like slow fruit);
    without stamps, the delays stay within the tolerance."""
    rng = Random(seed)
    told = Told(stamped)
    if not stamped:
        jitter_s = min(jitter_s, 0.1, period_s / 4)
    said = [(10 + i * period_s, f"f{i}") for i in range(80)]
    words = [(at + rng.uniform(0, jitter_s), at, name) for at, name in said if rng.random() >= lost]
    for arrived, at, name in sorted(words):
        told.say(at, arrived - at, fruit_id=name)
    certain = 0
    for _ in range(200):
        at, own = rng.choice(said)
        captured = at + rng.uniform(0, period_s)
        given_id = told.history.at(captured).fruit_id
        if told.history.certainty(captured, given_id) is IdReason.NONE:
            certain += 1
            assert given_id == own
    if stamped and lost == 0 and jitter_s < 0.1:
        assert certain > 50
