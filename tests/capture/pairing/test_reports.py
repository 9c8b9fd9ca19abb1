"""Situations that users of other software have met, and what becomes of them here."""

from __future__ import annotations

from agent.records import IdReason, Origin
from tests.capture.pairing.test_triggers import Line


def test_two_ids_with_one_stamp_are_not_told_apart() -> None:
    line = Line()
    line.say("b", at=line.now)
    line.say("c", at=line.now)
    line.picture()
    assert (line.decide() or ("", IdReason.NONE))[1] is IdReason.AMBIGUOUS
    line.now += 0.2
    line.say("d")
    line.picture()
    assert line.decide() == ("d", IdReason.NONE)


def test_an_old_id_that_is_given_again_at_every_connect_names_nothing() -> None:
    line = Line()
    for _ in range(3):
        line.now += 3600
        line.say("a39", at=107.8, origin=Origin.STORED)
        line.picture()
        assert line.decide(0.11) == (None, IdReason.MISSING)


def test_a_course_that_is_played_again_is_learnt_again() -> None:
    """The machine's clock jumps back an hour, again and again: a recording in a loop."""
    line = Line()
    reasons = []
    for turn in range(1, 4):
        for i in range(12):
            line.say(f"t{turn}-{i}", at=line.now - 3600 * turn)
            line.picture()
            name, reason = line.decide() or line.decide(0.101) or (None, IdReason.MISSING)
            assert name == f"t{turn}-{i}" or reason is not IdReason.NONE
            reasons.append(reason)
            line.now = 100.0 + 0.2 * line.seq
        assert reasons[-1] is IdReason.NONE
