"""Alarms of what was taken out of the configuration end, and people are told so once."""

from __future__ import annotations

import pytest

from agent import config
from agent.alarms.catalogue import AGENT, Cause, watched_ids
from agent.alarms.lifecycle.manager import GONE_MAX, AlarmManager
from agent.alarms.text.languages import LANGUAGES
from agent.records import Alarm, AlarmState, Quality
from tests.alarms.support import TimedManager, condition, utc_ms

ON_S = 5.0
STOPPED = "the machine is not running"
ALARM = "no_read_rate-cam1"


def started(
    before: TimedManager, *alarm_ids: str, later_s: float = 60.0, **settings: object
) -> TimedManager:
    """The next start, which watches ``alarm_ids``."""
    after = TimedManager(**settings)
    after.manager = AlarmManager(config.Alarms(**settings), "agent1", "s2")
    after.now = before.now + later_s
    exported = before.manager.export(before.now, utc_ms(before.now))
    after.manager.restore(exported, alarm_ids, after.now, utc_ms(after.now))
    return after


def retired(after: TimedManager) -> list[Alarm]:
    records = after.manager.retire(after.now, utc_ms(after.now))
    after.records += records
    return records


def standing(**settings: object) -> TimedManager:
    timed = TimedManager(**settings)
    timed.update(condition(False))
    timed.update(condition(True))
    assert timed.wait(ON_S) == ["raised"]
    return timed


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_standing_alarm_of_what_is_gone_is_normal_and_cleared_for_a_reason(
    language: str,
) -> None:
    before = standing()
    after = started(before, language=language)
    (record,) = retired(after)
    assert (record.alarm_id, record.transition) == (ALARM, "cleared")
    assert record.is_event
    assert (record.state, record.active, record.acked) == (AlarmState.NORM, False, True)
    assert (record.event_id, record.seq) == (before.alarm.event_id, before.alarm.seq + 1)
    assert (record.active_since_ms, record.cleared_at_ms) == (0, utc_ms(after.now))
    assert record.quality is Quality.BAD
    assert "cam1" in record.message
    words = {"en": "taken out of the configuration", "it": "tolto dalla configurazione"}
    assert words[language] in record.message
    assert after.manager.current() == ()


def test_it_is_told_once_and_said_until_it_is_forgotten() -> None:
    first = started(standing())
    retired(first)
    again = started(first)
    (record,) = retired(again)
    assert (record.state, record.is_event) == (AlarmState.NORM, False)
    assert not again.manager.forget("no_read_rate-cam9")
    assert again.manager.forget(ALARM)
    assert retired(started(again)) == []


@pytest.mark.parametrize("how", ["shelve", "take_out_of_service"])
def test_what_an_operator_hid_ends_too(how: str) -> None:
    before = standing()
    seconds = (600,) if how == "shelve" else ()
    now = (before.now, utc_ms(before.now))
    getattr(before.manager, how)(ALARM, *seconds, "ann", *now)
    (record,) = retired(started(before))
    assert (record.state, record.transition) == (AlarmState.NORM, "cleared")
    assert (record.shelved, record.shelved_until_ms) == (False, 0)


def test_what_waited_for_an_acknowledgement_waits_no_more() -> None:
    before = standing(ack_mode="operator")
    before.update(condition(False))
    assert before.wait(30) == ["cleared_unacked"]
    (record,) = retired(started(before, ack_mode="operator"))
    assert (record.state, record.transition) == (AlarmState.NORM, "cleared")
    assert record.cleared_at_ms == before.alarm.cleared_at_ms


def test_what_nobody_was_told_of_is_no_event() -> None:
    never = TimedManager()
    never.update(condition(False))
    hidden = TimedManager()
    hidden.update(condition(True, suppressed_by=STOPPED))
    hidden.wait(ON_S)
    assert hidden.alarm.active
    for before in (never, hidden):
        (record,) = retired(started(before))
        assert (record.state, record.is_event, record.seq) == (AlarmState.NORM, False, 0)


def test_what_is_still_watched_stays_as_it_is() -> None:
    after = started(standing(), ALARM)
    assert retired(after) == []
    assert after.alarm.active


def test_an_alarm_that_is_watched_again_goes_on_counting() -> None:
    first = started(standing())
    retired(first)
    assert first.update(condition(False)) == ["initial"]  # it is watched after all
    assert "No longer watched" not in first.alarm.message
    again = started(first, ALARM)
    assert "No longer watched" not in again.alarm.message
    again.update(condition(True))
    assert again.wait(ON_S) == ["raised"]
    assert again.alarm.count == 2


def test_a_command_about_what_is_gone_knows_no_such_alarm() -> None:
    after = started(standing())
    retired(after)
    answer = after.manager.shelve(ALARM, 60, "ann", after.now, utc_ms(after.now))
    assert answer.outcome == "unknown_alarm"


def test_of_what_is_gone_only_so_many_are_kept() -> None:
    timed = TimedManager()
    for i in range(GONE_MAX + 5):
        timed.update(condition(False, subject=f"cam{i}"))
    assert len(retired(started(timed))) == GONE_MAX


def test_each_alarm_is_watched_where_something_judges_it() -> None:
    """A camera whose picture was cut into lanes has no fruit of its own any more."""
    ids = watched_ids(lanes=("left", "right"), cameras=("cam1",), charted=("left",))
    assert {"camera_lost-cam1", "no_read_rate-left", "explanation_drift-left"} <= ids
    assert {f"{cause}-{AGENT}" for cause in (Cause.SPOOL_LOSS, Cause.WORKERS_DEGRADED)} <= ids
    assert not ids & {"no_read_rate-cam1", "camera_lost-left", "explanation_drift-right"}
