"""The book: delays, occurrences, commands, chattering, and records without a gap."""

from __future__ import annotations

import pytest

from agent.alarms.lifecycle.commands import Outcome
from agent.records import AlarmState
from tests.alarms.support import BAD, GOOD, UNCERTAIN, Desk, condition, utc_ms

ON_S, OFF_S = 5.0, 30.0  # of no_read_rate


def raised(**settings: object) -> Desk:
    desk = Desk(**settings)
    desk.hear(condition(False))
    desk.hear(condition(True, value=0.3, limit=0.2, window=280, frame_id="f7"))
    assert desk.wait(ON_S) == ["raised"]
    return desk


def test_the_first_condition_makes_a_record_of_the_normal_state() -> None:
    desk = Desk()
    assert desk.hear(condition(False)) == ["initial"]
    assert desk.alarm.state is AlarmState.NORM
    assert desk.alarm.alarm_id == "no_read_rate-cam1"
    assert desk.alarm.source == "agent1"
    assert desk.alarm.event_id == ""


def test_an_alarm_rises_after_its_on_delay_and_not_before() -> None:
    desk = Desk()
    desk.hear(condition(True))
    assert desk.wait(ON_S - 0.1) == []
    assert desk.wait(0.1) == ["raised"]
    assert desk.alarm.active
    assert desk.alarm.state is AlarmState.UNACK
    assert desk.alarm.count == 1
    assert desk.alarm.active_since_ms == utc_ms(desk.now)


def test_a_condition_that_goes_away_during_the_on_delay_raises_nothing() -> None:
    desk = Desk()
    desk.hear(condition(True))
    desk.hear(condition(False), after_s=ON_S - 0.1)
    desk.hear(condition(True), after_s=0.1)
    assert desk.wait(ON_S - 0.1) == []


def test_inside_the_deadband_an_active_alarm_stays_active() -> None:
    desk = raised()
    desk.hear(condition(False, back=False))
    assert desk.wait(10 * OFF_S) == []
    desk.hear(condition(False, back=True))
    assert desk.wait(OFF_S) == ["cleared"]
    assert desk.alarm.state is AlarmState.NORM
    assert desk.alarm.cleared_at_ms == utc_ms(desk.now)


def test_the_off_delay_begins_when_the_condition_ends() -> None:
    desk = raised()
    desk.hear(condition(False))
    assert desk.wait(OFF_S - 0.1) == []
    assert desk.wait(0.1) == ["cleared"]


def test_the_sentence_says_where_what_and_how_many() -> None:
    desk = raised()
    assert "cam1" in desk.alarm.message
    assert "30 %" in desk.alarm.message
    assert "280" in desk.alarm.message
    desk.hear(condition(False))
    desk.wait(OFF_S)
    assert "30 %" not in desk.alarm.message


def test_each_occurrence_has_an_id_of_its_own_and_counts() -> None:
    desk = raised()
    first = desk.alarm.event_id
    desk.hear(condition(False))
    desk.wait(OFF_S)
    desk.hear(condition(True), after_s=100)
    desk.wait(ON_S)
    assert desk.alarm.event_id != first
    assert desk.alarm.count == 2


@pytest.mark.parametrize("unknown", [condition(None), condition(False, quality=BAD)], ids=str)
def test_while_nobody_can_say_the_state_holds(unknown: object) -> None:
    desk = raised()
    desk.hear(unknown)
    assert desk.wait(1000 * OFF_S) == []
    assert desk.alarm.active


def test_what_is_not_known_does_not_count_towards_a_delay() -> None:
    desk = Desk()
    desk.hear(condition(True))
    desk.hear(condition(None), after_s=ON_S - 1)
    desk.hear(condition(True), after_s=100)
    assert desk.wait(ON_S - 1) == []
    assert desk.wait(1) == ["raised"]


def test_a_change_of_quality_is_published() -> None:
    desk = raised()
    assert desk.hear(condition(True, quality=BAD)) == ["quality"]
    assert desk.alarm.quality is BAD
    assert desk.alarm.active
    assert desk.hear(condition(True, quality=UNCERTAIN)) == ["quality"]
    assert desk.hear(condition(True, quality=GOOD)) == ["quality"]


def test_with_acknowledging_in_scada_a_cleared_alarm_is_normal() -> None:
    desk = raised(ack_mode="scada")
    desk.hear(condition(False))
    assert desk.wait(OFF_S) == ["cleared"]
    assert desk.alarm.state is AlarmState.NORM


def test_with_acknowledging_here_a_cleared_alarm_waits() -> None:
    desk = raised(ack_mode="operator")
    desk.hear(condition(False))
    assert desk.wait(OFF_S) == ["cleared_unacked"]
    assert desk.alarm.state is AlarmState.RTN_UNACK
    answer = desk.book.acknowledge(
        desk.alarm.alarm_id, desk.alarm.event_id, "ann", desk.now, utc_ms(desk.now)
    )
    assert answer.outcome is Outcome.DONE
    assert desk.alarm.state is AlarmState.NORM


def acknowledge(desk: Desk, event_id: str) -> Outcome:
    return desk.book.acknowledge(
        "no_read_rate-cam1", event_id, "ann", desk.now, utc_ms(desk.now)
    ).outcome


def test_an_acknowledgement_names_its_occurrence() -> None:
    desk = raised()
    assert acknowledge(desk, "s1-999") is Outcome.STALE
    assert acknowledge(desk, "") is Outcome.STALE
    assert acknowledge(desk, desk.alarm.event_id) is Outcome.DONE
    assert desk.alarm.acked_by == "ann"
    assert desk.alarm.acked_at_ms == utc_ms(desk.now)
    assert acknowledge(desk, desk.alarm.event_id) is Outcome.ALREADY


def test_an_acknowledgement_of_the_occurrence_before_is_stale() -> None:
    desk = raised()
    old = desk.alarm.event_id
    desk.hear(condition(False))
    desk.wait(OFF_S)
    desk.hear(condition(True), after_s=100)
    desk.wait(ON_S)
    assert acknowledge(desk, old) is Outcome.STALE
    assert not desk.alarm.acked


def test_a_command_for_an_alarm_that_does_not_exist_is_answered() -> None:
    desk = raised()
    for answer in (
        desk.book.acknowledge("nope-cam1", "s1-1", "ann", 0, 0),
        desk.book.shelve("nope-cam1", 60, "ann", 0, 0),
        desk.book.unshelve("nope-cam1", "ann", 0, 0),
        desk.book.comment("nope-cam1", "s1-1", "hi", 0, 0),
        desk.book.take_out_of_service("nope-cam1", "ann", 0, 0),
        desk.book.put_into_service("nope-cam1", "ann", 0, 0),
    ):
        assert answer.outcome is Outcome.UNKNOWN
        assert not answer.records


def test_shelving_ends_by_itself() -> None:
    desk = raised()
    desk.book.shelve(desk.alarm.alarm_id, 60, "ann", desk.now, utc_ms(desk.now))
    assert desk.alarm.state is AlarmState.SHELVED
    assert desk.alarm.active
    assert desk.alarm.shelved_until_ms == utc_ms(desk.now + 60)
    assert desk.wait(59.9) == []
    assert desk.wait(0.1) == ["unshelved"]
    assert desk.alarm.state is AlarmState.UNACK
    assert desk.alarm.shelved_until_ms == 0


def test_shelving_again_moves_its_end() -> None:
    desk = raised()
    for _ in range(2):
        desk.book.shelve(desk.alarm.alarm_id, 60, "ann", desk.now, utc_ms(desk.now))
        assert desk.wait(40) == []
    assert desk.wait(20) == ["unshelved"]


@pytest.mark.parametrize("duration_s", [0, -1, float("nan"), float("inf"), 28_801])
def test_shelving_for_ever_is_refused(duration_s: float) -> None:
    desk = raised()
    answer = desk.book.shelve(desk.alarm.alarm_id, duration_s, "ann", desk.now, 0)
    assert answer.outcome is Outcome.REFUSED
    assert "28800" in answer.detail
    assert not desk.alarm.shelved


def test_an_operator_can_take_shelving_back_once() -> None:
    desk = raised()
    alarm_id = desk.alarm.alarm_id
    desk.book.shelve(alarm_id, 60, "ann", desk.now, 0)
    assert desk.book.unshelve(alarm_id, "ann", desk.now, 0).outcome is Outcome.DONE
    assert desk.book.unshelve(alarm_id, "ann", desk.now, 0).outcome is Outcome.ALREADY
    assert desk.alarm.state is AlarmState.UNACK


def test_three_activations_a_minute_are_suppressed_until_ten_quiet_minutes() -> None:
    desk = Desk()
    camera = {"cause": "camera_lost"}  # on-delay 0, off-delay 2 s
    for _ in range(3):
        desk.hear(condition(True, **camera), after_s=10)
        desk.hear(condition(False, **camera), after_s=1)
        desk.wait(2)
    assert desk.alarm.suppressed
    assert "three times" in desk.alarm.suppressed_by
    assert [r.transition for r in desk.records if r.transition == "raised"] == ["raised"] * 3
    assert desk.wait(500) == []
    desk.hear(condition(True, **camera))  # not quiet: the ten minutes begin again
    desk.hear(condition(False, **camera), after_s=1)
    desk.wait(2)
    assert desk.alarm.state is AlarmState.SUPPRESSED
    assert desk.wait(590) == []
    assert desk.wait(10) == ["released"]
    assert desk.alarm.state is AlarmState.NORM


def test_three_activations_in_two_minutes_are_no_chattering() -> None:
    desk = Desk()
    for _ in range(5):
        desk.hear(condition(True, cause="camera_lost"), after_s=40)
        desk.hear(condition(False, cause="camera_lost"), after_s=1)
        desk.wait(2)
    assert not desk.alarm.suppressed


def test_suppression_hides_and_says_why_and_the_condition_stays_visible() -> None:
    desk = Desk()
    stopped = "the machine is not running"
    assert desk.hear(condition(True, suppressed_by=stopped)) == ["initial", "suppressed"]
    assert desk.wait(ON_S) == ["raised"]
    assert desk.alarm.state is AlarmState.SUPPRESSED
    assert desk.alarm.active
    assert desk.alarm.message.endswith(f"Suppressed: {stopped}.")
    assert desk.hear(condition(True)) == ["released"]
    assert desk.alarm.state is AlarmState.UNACK
    assert "Suppressed" not in desk.alarm.message


def test_a_condition_that_ends_with_its_suppression_is_never_annunciated() -> None:
    desk = Desk()
    desk.hear(condition(True, cause="camera_lost", suppressed_by="the machine is not running"))
    desk.hear(condition(False, cause="camera_lost", suppressed_by="the machine is not running"))
    desk.wait(2)
    desk.hear(condition(False, cause="camera_lost"))
    assert AlarmState.UNACK not in {record.state for record in desk.records}


@pytest.mark.parametrize("listed", ["no_read_rate", "no_read_rate-cam1"])
def test_an_alarm_that_the_configuration_takes_out_of_service_never_annunciates(
    listed: str,
) -> None:
    desk = Desk(out_of_service=(listed,))
    assert desk.hear(condition(True)) == ["initial", "out_of_service"]
    desk.wait(ON_S)
    assert desk.alarm.state is AlarmState.OUT_OF_SERVICE
    assert desk.alarm.active


def test_a_comment_is_one_short_line_on_its_occurrence() -> None:
    desk = raised()
    alarm_id, event_id = desk.alarm.alarm_id, desk.alarm.event_id
    comment = desk.book.comment
    assert comment(alarm_id, "s1-9", "lamp", desk.now, 0).outcome is Outcome.STALE
    assert comment(alarm_id, event_id, "lamp\ncleaned" + "x" * 999, desk.now, 0).records
    assert desk.alarm.comment.startswith("lamp cleaned")
    assert len(desk.alarm.comment) == 200
    assert comment(alarm_id, event_id, desk.alarm.comment, desk.now, 0).outcome is Outcome.ALREADY


def test_a_stamp_is_that_of_the_frame_where_a_frame_is_the_subject() -> None:
    desk = Desk()
    desk.hear(condition(True, captured_utc_ms=123, captured_mono=9.0))
    desk.wait(ON_S)
    assert (desk.alarm.timestamp_ms, desk.alarm.captured_mono) == (123, 9.0)
    acknowledge(desk, desk.alarm.event_id)
    assert (desk.alarm.timestamp_ms, desk.alarm.captured_mono) == (utc_ms(desk.now), 0.0)


def test_a_camera_whose_alarm_waits_or_is_active_deserves_attention() -> None:
    desk = Desk()
    desk.hear(condition(False))
    assert desk.book.attention() == ()
    desk.hear(condition(True))
    assert desk.book.attention() == ("cam1",)
    desk.hear(condition(True, suppressed_by="the machine is not running"))
    assert desk.book.attention() == ()
