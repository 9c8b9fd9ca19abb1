"""The manager: delays, occurrences, commands, chattering, and records without a gap."""

from __future__ import annotations

import pytest

from agent.records import AlarmState, CommandOutcome
from tests.alarms.support import BAD, GOOD, UNCERTAIN, TimedManager, condition, utc_ms

ON_S, OFF_S = 5.0, 30.0  # of no_read_rate


def raised(**settings: object) -> TimedManager:
    timed = TimedManager(**settings)
    timed.update(condition(False))
    timed.update(condition(True, value=0.3, limit=0.2, window=280, frame_id="f7"))
    assert timed.wait(ON_S) == ["raised"]
    return timed


def test_the_first_condition_makes_a_record_of_the_normal_state() -> None:
    timed = TimedManager()
    assert timed.update(condition(False)) == ["initial"]
    assert timed.alarm.state is AlarmState.NORM
    assert timed.alarm.alarm_id == "no_read_rate-cam1"
    assert timed.alarm.source == "agent1"
    assert timed.alarm.event_id == ""


def test_an_alarm_rises_after_its_on_delay_and_not_before() -> None:
    timed = TimedManager()
    timed.update(condition(True))
    assert timed.wait(ON_S - 0.1) == []
    assert timed.wait(0.1) == ["raised"]
    assert timed.alarm.active
    assert timed.alarm.state is AlarmState.UNACK
    assert timed.alarm.count == 1
    assert timed.alarm.active_since_ms == utc_ms(timed.now)


def test_a_condition_that_goes_away_during_the_on_delay_raises_nothing() -> None:
    timed = TimedManager()
    timed.update(condition(True))
    timed.update(condition(False), after_s=ON_S - 0.1)
    timed.update(condition(True), after_s=0.1)
    assert timed.wait(ON_S - 0.1) == []


def test_inside_the_deadband_an_active_alarm_stays_active() -> None:
    timed = raised()
    timed.update(condition(False, back=False))
    assert timed.wait(10 * OFF_S) == []
    timed.update(condition(False, back=True))
    assert timed.wait(OFF_S) == ["cleared"]
    assert timed.alarm.state is AlarmState.NORM
    assert timed.alarm.cleared_at_ms == utc_ms(timed.now)


def test_the_off_delay_begins_when_the_condition_ends() -> None:
    timed = raised()
    timed.update(condition(False))
    assert timed.wait(OFF_S - 0.1) == []
    assert timed.wait(0.1) == ["cleared"]


def test_the_sentence_says_where_what_and_how_many() -> None:
    timed = raised()
    assert "cam1" in timed.alarm.message
    assert "30 %" in timed.alarm.message
    assert "280" in timed.alarm.message
    timed.update(condition(False))
    timed.wait(OFF_S)
    assert "30 %" not in timed.alarm.message
    assert timed.alarm.message.startswith("Cleared on cam1: ")


def test_each_occurrence_has_an_id_of_its_own_and_counts() -> None:
    timed = raised()
    first = timed.alarm.event_id
    timed.update(condition(False))
    timed.wait(OFF_S)
    timed.update(condition(True), after_s=100)
    timed.wait(ON_S)
    assert timed.alarm.event_id != first
    assert timed.alarm.count == 2


@pytest.mark.parametrize("unknown", [condition(None), condition(False, quality=BAD)], ids=str)
def test_while_nobody_can_say_the_state_holds(unknown: object) -> None:
    timed = raised()
    timed.update(unknown)
    assert timed.wait(1000 * OFF_S) == []
    assert timed.alarm.active


def test_what_is_not_known_does_not_count_towards_a_delay() -> None:
    timed = TimedManager()
    timed.update(condition(True))
    timed.update(condition(None), after_s=ON_S - 1)
    timed.update(condition(True), after_s=100)
    assert timed.wait(ON_S - 1) == []
    assert timed.wait(1) == ["raised"]


def test_a_change_of_quality_is_published() -> None:
    timed = raised()
    assert timed.update(condition(True, quality=BAD)) == ["quality"]
    assert timed.alarm.quality is BAD
    assert timed.alarm.active
    assert timed.update(condition(True, quality=UNCERTAIN)) == ["quality"]
    assert timed.update(condition(True, quality=GOOD)) == ["quality"]


def test_with_acknowledging_in_scada_a_cleared_alarm_is_normal() -> None:
    timed = raised(ack_mode="scada")
    timed.update(condition(False))
    assert timed.wait(OFF_S) == ["cleared"]
    assert timed.alarm.state is AlarmState.NORM


def test_with_acknowledging_here_a_cleared_alarm_waits() -> None:
    timed = raised(ack_mode="operator")
    timed.update(condition(False))
    assert timed.wait(OFF_S) == ["cleared_unacked"]
    assert timed.alarm.state is AlarmState.RTN_UNACK
    answer = timed.manager.acknowledge(
        timed.alarm.alarm_id, timed.alarm.event_id, "ann", timed.now, utc_ms(timed.now)
    )
    assert answer.outcome is CommandOutcome.DONE
    assert timed.alarm.state is AlarmState.NORM


def acknowledge(timed: TimedManager, event_id: str) -> CommandOutcome:
    return timed.manager.acknowledge(
        "no_read_rate-cam1", event_id, "ann", timed.now, utc_ms(timed.now)
    ).outcome


def test_an_acknowledgement_names_its_occurrence() -> None:
    timed = raised()
    assert acknowledge(timed, "s1-999") is CommandOutcome.STALE
    assert acknowledge(timed, "") is CommandOutcome.STALE
    assert acknowledge(timed, timed.alarm.event_id) is CommandOutcome.DONE
    assert timed.alarm.acked_by == "ann"
    assert timed.alarm.acked_at_ms == utc_ms(timed.now)
    assert acknowledge(timed, timed.alarm.event_id) is CommandOutcome.ALREADY


def test_an_acknowledgement_of_the_occurrence_before_is_stale() -> None:
    timed = raised()
    old = timed.alarm.event_id
    timed.update(condition(False))
    timed.wait(OFF_S)
    timed.update(condition(True), after_s=100)
    timed.wait(ON_S)
    assert acknowledge(timed, old) is CommandOutcome.STALE
    assert not timed.alarm.acked


def test_a_command_for_an_alarm_that_does_not_exist_is_answered() -> None:
    timed = raised()
    for answer in (
        timed.manager.acknowledge("nope-cam1", "s1-1", "ann", 0, 0),
        timed.manager.shelve("nope-cam1", 60, "ann", 0, 0),
        timed.manager.unshelve("nope-cam1", "ann", 0, 0),
        timed.manager.comment("nope-cam1", "s1-1", "hi", 0, 0),
        timed.manager.take_out_of_service("nope-cam1", "ann", 0, 0),
        timed.manager.put_into_service("nope-cam1", "ann", 0, 0),
    ):
        assert answer.outcome is CommandOutcome.UNKNOWN
        assert not answer.records
    mistyped = timed.manager.unshelve(timed.alarm.alarm_id.upper()[:-1], "ann", 0, 0)
    assert mistyped.outcome is CommandOutcome.UNKNOWN
    assert mistyped.detail == f"did you mean {timed.alarm.alarm_id}?"


def test_shelving_ends_by_itself() -> None:
    timed = raised()
    timed.manager.shelve(timed.alarm.alarm_id, 60, "ann", timed.now, utc_ms(timed.now))
    assert timed.alarm.state is AlarmState.SHELVED
    assert timed.alarm.active
    assert timed.alarm.shelved_until_ms == utc_ms(timed.now + 60)
    assert timed.wait(59.9) == []
    assert timed.wait(0.1) == ["unshelved"]
    assert timed.alarm.state is AlarmState.UNACK
    assert timed.alarm.shelved_until_ms == 0


def test_shelving_again_moves_its_end() -> None:
    timed = raised()
    for _ in range(2):
        timed.manager.shelve(timed.alarm.alarm_id, 60, "ann", timed.now, utc_ms(timed.now))
        assert timed.wait(40) == []
    assert timed.wait(20) == ["unshelved"]


@pytest.mark.parametrize("duration_s", [0, -1, float("nan"), float("inf"), 28_801])
def test_shelving_for_ever_is_refused(duration_s: float) -> None:
    timed = raised()
    answer = timed.manager.shelve(timed.alarm.alarm_id, duration_s, "ann", timed.now, 0)
    assert answer.outcome is CommandOutcome.REFUSED
    assert "28800" in answer.detail
    assert not timed.alarm.shelved


def test_an_operator_can_take_shelving_back_once() -> None:
    timed = raised()
    alarm_id = timed.alarm.alarm_id
    timed.manager.shelve(alarm_id, 60, "ann", timed.now, 0)
    assert timed.manager.unshelve(alarm_id, "ann", timed.now, 0).outcome is CommandOutcome.DONE
    assert timed.manager.unshelve(alarm_id, "ann", timed.now, 0).outcome is CommandOutcome.ALREADY
    assert timed.alarm.state is AlarmState.UNACK


def test_three_activations_a_minute_are_suppressed_until_ten_quiet_minutes() -> None:
    timed = TimedManager()
    camera = {"cause": "camera_lost"}  # on-delay 0, off-delay 2 s
    for _ in range(3):
        timed.update(condition(True, **camera), after_s=10)
        timed.update(condition(False, **camera), after_s=1)
        timed.wait(2)
    assert timed.alarm.suppressed
    assert "three times" in timed.alarm.suppressed_by
    assert [r.transition for r in timed.records if r.transition == "raised"] == ["raised"] * 3
    assert timed.wait(500) == []
    timed.update(condition(True, **camera))  # not quiet: the ten minutes begin again
    timed.update(condition(False, **camera), after_s=1)
    timed.wait(2)
    assert timed.alarm.state is AlarmState.SUPPRESSED
    assert timed.wait(590) == []
    assert timed.wait(10) == ["released"]
    assert timed.alarm.state is AlarmState.NORM


def test_three_activations_in_two_minutes_are_no_chattering() -> None:
    timed = TimedManager()
    for _ in range(5):
        timed.update(condition(True, cause="camera_lost"), after_s=40)
        timed.update(condition(False, cause="camera_lost"), after_s=1)
        timed.wait(2)
    assert not timed.alarm.suppressed


def test_suppression_hides_and_says_why_and_the_condition_stays_visible() -> None:
    timed = TimedManager()
    stopped = "the machine is not running"
    assert timed.update(condition(True, suppressed_by=stopped)) == ["initial", "suppressed"]
    assert timed.wait(ON_S) == ["raised"]
    assert timed.alarm.state is AlarmState.SUPPRESSED
    assert timed.alarm.active
    assert timed.alarm.message.endswith(f"Suppressed: {stopped}.")
    assert timed.update(condition(True)) == ["released", "raised"]
    assert timed.alarm.state is AlarmState.UNACK
    assert "Suppressed" not in timed.alarm.message


STOPPED = "the machine is not running"


def test_what_came_and_went_while_it_was_suppressed_is_no_event() -> None:
    timed = TimedManager()
    timed.update(condition(False))
    timed.update(condition(False, suppressed_by=STOPPED))
    timed.update(condition(True, suppressed_by=STOPPED))
    timed.wait(ON_S)
    assert timed.alarm.active
    timed.update(condition(False, suppressed_by=STOPPED))
    timed.wait(OFF_S)
    timed.update(condition(False))
    assert timed.alarm.state is AlarmState.NORM
    assert timed.events == []
    assert {record.seq for record in timed.records} == {0}
    states = [record.state for record in timed.records]
    assert states.count(AlarmState.SUPPRESSED) == 3  # which SCADA is told all the same


def test_an_occurrence_that_outlasts_its_suppression_rings_when_that_ends() -> None:
    timed = TimedManager()
    timed.update(condition(True, suppressed_by=STOPPED))
    timed.wait(ON_S)
    began_ms, event_id = utc_ms(timed.now), timed.alarm.event_id
    timed.update(condition(True), after_s=600)
    assert timed.events == ["raised"]
    rings = timed.records[-1]
    assert (rings.event_id, rings.active_since_ms, rings.count) == (event_id, began_ms, 1)
    assert (rings.state, rings.seq) == (AlarmState.UNACK, 1)
    timed.update(condition(False))
    timed.wait(OFF_S)
    assert timed.events == ["raised", "cleared"]


def test_an_alarm_that_rang_is_told_to_its_end_also_while_it_is_suppressed() -> None:
    timed = raised()
    timed.update(condition(True, suppressed_by=STOPPED))
    timed.update(condition(False, suppressed_by=STOPPED))
    timed.wait(OFF_S)
    timed.update(condition(False))
    assert timed.events == ["raised", "suppressed", "cleared", "released"]


def test_shelving_hides_an_occurrence_until_it_ends() -> None:
    timed = TimedManager()
    timed.update(condition(False))
    timed.manager.shelve("no_read_rate-cam1", 60, "ann", timed.now, utc_ms(timed.now))
    timed.update(condition(True))
    timed.wait(ON_S)
    assert timed.alarm.active
    assert timed.events == []
    assert timed.wait(60 - ON_S) == ["unshelved", "raised"]
    assert timed.events == ["unshelved", "raised"]


def test_what_an_operator_acknowledged_unheard_is_told_from_then_on() -> None:
    timed = TimedManager()
    timed.update(condition(True, suppressed_by=STOPPED))
    timed.wait(ON_S)
    answer = timed.manager.acknowledge(
        timed.alarm.alarm_id, timed.alarm.event_id, "ann", timed.now, utc_ms(timed.now)
    )
    assert [record.is_event for record in answer.records] == [True]
    timed.update(condition(True))
    timed.update(condition(False))
    timed.wait(OFF_S)
    assert timed.events == ["cleared"]


def test_nobody_has_to_acknowledge_what_never_rang() -> None:
    timed = TimedManager(ack_mode="operator")
    timed.update(condition(True, suppressed_by=STOPPED))
    timed.wait(ON_S)
    timed.update(condition(False, suppressed_by=STOPPED))
    timed.wait(OFF_S)
    timed.update(condition(False))
    assert timed.alarm.state is AlarmState.NORM
    assert timed.events == []


def test_a_delay_that_was_not_over_is_no_event_and_no_record() -> None:
    timed = TimedManager()
    timed.update(condition(False))
    timed.update(condition(True))
    timed.update(condition(False), after_s=ON_S - 0.1)
    timed.wait(OFF_S)
    assert [record.transition for record in timed.records] == ["initial"]


def test_a_condition_that_ends_with_its_suppression_is_never_annunciated() -> None:
    timed = TimedManager()
    timed.update(condition(True, cause="camera_lost", suppressed_by="the machine is not running"))
    timed.update(condition(False, cause="camera_lost", suppressed_by="the machine is not running"))
    timed.wait(2)
    timed.update(condition(False, cause="camera_lost"))
    assert AlarmState.UNACK not in {record.state for record in timed.records}


@pytest.mark.parametrize("listed", ["no_read_rate", "no_read_rate-cam1"])
def test_an_alarm_that_the_configuration_takes_out_of_service_never_annunciates(
    listed: str,
) -> None:
    timed = TimedManager(out_of_service=(listed,))
    assert timed.update(condition(True)) == ["initial", "out_of_service"]
    timed.wait(ON_S)
    assert timed.alarm.state is AlarmState.OUT_OF_SERVICE
    assert timed.alarm.active


def test_a_comment_is_one_short_line_on_its_occurrence() -> None:
    timed = raised()
    alarm_id, event_id = timed.alarm.alarm_id, timed.alarm.event_id
    comment = timed.manager.comment
    assert comment(alarm_id, "s1-9", "lamp", timed.now, 0).outcome is CommandOutcome.STALE
    assert comment(alarm_id, event_id, "lamp\ncleaned" + "x" * 999, timed.now, 0).records
    assert timed.alarm.comment.startswith("lamp cleaned")
    assert len(timed.alarm.comment) == 200
    assert (
        comment(alarm_id, event_id, timed.alarm.comment, timed.now, 0).outcome
        is CommandOutcome.ALREADY
    )


def test_a_stamp_is_that_of_the_frame_where_a_frame_is_the_subject() -> None:
    timed = TimedManager()
    timed.update(condition(True, captured_utc_ms=123, captured_mono=9.0))
    timed.wait(ON_S)
    assert (timed.alarm.timestamp_ms, timed.alarm.captured_mono) == (123, 9.0)
    acknowledge(timed, timed.alarm.event_id)
    assert (timed.alarm.timestamp_ms, timed.alarm.captured_mono) == (utc_ms(timed.now), 0.0)
